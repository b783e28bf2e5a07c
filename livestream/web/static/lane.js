// One connection of the theatre, and the cells of its threads.

import { CHANNELS } from "./contract.js";
import { announce, duration, make, number, setText } from "./dom.js";

const WORDS = {
  waiting: "waiting for the lock",
  lingering: "sleeping, left over",
  shared: "served by a shared thread",
};

/** What a state is called. */
export const cellWords = (state) => WORDS[state] ?? state;

export class Lane {
  constructor(id, theatre) {
    this.id = id;
    this.theatre = theatre;
    this.cells = new Map();
    this.whose = make("span", { className: "whose" });
    this.status = make("span", { className: "quiet" });
    this.row = make("div", { className: "cells" });
    this.more = make("p", { className: "quiet" });
    const title = id === "shared" ? "all connections" : id;
    const label = `Connection ${title}`;
    this.element = make("article", { className: "lane", dataset: { connection: id }, ariaLabel: label },
      make("header", {}, make("h3", {}, make("code", { textContent: title })), this.whose, this.status),
      this.row, this.more);
  }

  show(data, now, { own, extra }) {
    this.endedAt = null;
    this.element.dataset.open = String(data.open);
    setText(this.whose, own ? "this page" : extra ? "opened here" : "");
    const left = data.threads.length;
    const over = `closed, ${left} ${left === 1 ? "thread" : "threads"} left over`;
    const open = this.id === "shared" ? "threads that serve all" : `open ${duration(data.age_ms)}`;
    setText(this.status, data.open ? open : over);
    setText(this.more, data.more_threads ? `and ${number(data.more_threads)} more threads` : "");
    this.#controls(own, extra && data.open);
    const seen = new Set();
    const unnamed = {};
    data.threads.forEach((thread) => {
      // A subscription without a thread is known by its channel, and which one of that it is.
      const ordinal = thread.name ? 0 : (unnamed[thread.channel] = (unnamed[thread.channel] ?? 0) + 1);
      const key = thread.name ?? `${this.id} ${thread.channel} ${ordinal}`;
      seen.add(key);
      if (!this.cells.has(key)) {
        const cell = new Cell(key, thread, this.theatre);
        this.cells.set(key, cell);
        // A handler that is still opening its connection bears its name only when that is done.
        if (thread.role === "handler") this.row.prepend(cell.element);
        else this.row.append(cell.element);
      }
      this.cells.get(key).show(thread, data.open);
    });
    for (const [key, cell] of this.cells) if (!seen.has(key)) this.#age(key, cell, now);
  }

  /** The connection is listed no more; true when it has been so for long enough. */
  end(now) {
    this.element.dataset.open = "false";
    setText(this.status, "ended");
    this.#controls(false, false);
    for (const [key, cell] of this.cells) this.#age(key, cell, now);
    return this.cells.size === 0;
  }

  #age(key, cell, now) {
    if (now - cell.end(now) < this.theatre.afterglow) return;
    cell.element.remove();
    this.cells.delete(key);
  }

  /** Switches for connections of this page; the page's own one is closed by closing the page. */
  #controls(own, extra) {
    const wanted = own || extra;
    if (wanted === Boolean(this.controls)) return;
    if (!wanted) {
      this.controls.remove();
      this.controls = null;
      return;
    }
    const { stream, extras } = this.theatre;
    const choice = make("select", { ariaLabel: `Channel for ${this.id}` },
      ...CHANNELS.map(({ name }) => make("option", { value: name, textContent: name })));
    const send = (type) => {
      const channel = choice.value;
      if (!own) extras.send(this.id, { type, channel });
      else if (type === "subscribe") stream.subscribe(channel);
      else stream.unsubscribe(channel);
    };
    this.controls = make("div", { className: "lane-controls" },
      choice,
      this.#button("Subscribe", () => send("subscribe")),
      this.#button("Unsubscribe", () => send("unsubscribe")));
    if (!own) this.controls.append(this.#button("Close", () => extras.close(this.id)));
    this.element.firstChild.append(this.controls);
  }

  #button(text, act) {
    const button = make("button", { type: "button", textContent: text, ariaLabel: `${text}, connection ${this.id}` });
    button.addEventListener("click", () => {
      act();
      announce(`${text}: connection ${this.id}`);
    });
    return button;
  }
}

class Cell {
  constructor(key, { role, channel, name }, theatre) {
    this.key = key;
    const number = role === "channel" ? /-(\d+)$/.exec(name ?? "")?.[1] : null;
    this.label = channel ? `${channel}${number ? ` ${number}` : ""}` : role === "worker" ? name : role;
    this.doing = make("span", { className: "doing" });
    this.meta = make("span", { className: "meta" });
    this.element = make("button", { type: "button", className: "cell", dataset: { role, thread: key } },
      make("span", { className: "role", textContent: this.label }), this.doing, this.meta);
    this.element.addEventListener("click", () => theatre.select(key));
  }

  show(data, open) {
    this.data = data;
    this.endedAt = null;
    this.ended = false;
    this.#state(data.state === "sleeping" && !open ? "lingering" : data.state);
    const parts = [];
    if (data.age_ms !== null) parts.push(duration(data.age_ms));
    if (data.sends !== null) parts.push(`${number(data.sends)} sent`);
    setText(this.meta, parts.join(" · "));
  }

  /** When it ended: the first time that it was missing. */
  end(now) {
    this.endedAt ??= now;
    this.ended = true;
    this.#state("ended");
    return this.endedAt;
  }

  mark(selected) {
    if (this.element.ariaPressed !== String(selected)) this.element.ariaPressed = String(selected);
  }

  #state(state) {
    this.state = state;
    if (this.element.dataset.state !== state) this.element.dataset.state = state;
    setText(this.doing, cellWords(state));
  }
}
