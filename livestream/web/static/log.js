// The raw messages of the last 60 seconds, newest first, with a filter and a pause.

import { byId, make, setText } from "./dom.js";

/** Rows on the page, and messages kept for the filter, whatever the rate. */
const MAX_ROWS = 200;
const MAX_KEPT = 3000;
/** Characters of one message. */
const MAX_TEXT = 4000;

export class Log {
  constructor(span) {
    this.span = span;
    this.kept = [];
    this.fresh = [];
    this.paused = false;
    this.pausedAt = 0;
    this.filter = "";
    /** Ever, and not only kept. */
    this.total = 0;
    this.list = byId("messages");
    byId("filter").addEventListener("input", (event) => {
      this.filter = event.target.value.trim().toLowerCase();
      this.#rebuild();
    });
    byId("pause").addEventListener("click", () => this.#pause());
    byId("clear").addEventListener("click", () => {
      this.kept = [];
      this.#rebuild();
    });
  }

  add(kind, raw) {
    const text = raw.length > MAX_TEXT ? `${raw.slice(0, MAX_TEXT)}… (${raw.length} characters)` : raw;
    const entry = { at: performance.now(), clock: new Date(), kind, text };
    this.total += 1;
    this.kept.push(entry);
    if (this.kept.length > MAX_KEPT) this.kept.shift();
    if (!this.paused) this.fresh.push(entry);
    if (this.fresh.length > MAX_ROWS) this.fresh.shift();
  }

  /** How many of the last 60 seconds came since the pause. */
  get missed() {
    const since = Math.max(this.pausedAt, performance.now() - this.span);
    return this.kept.filter((entry) => entry.at > since).length;
  }

  /** Called a few times a second: shows what is new, drops what is old; what a pause shows stays. */
  draw() {
    const oldest = performance.now() - this.span;
    const stays = (entry) => entry.at >= oldest || (this.paused && entry.at <= this.pausedAt);
    this.kept = this.kept.filter(stays);
    if (!this.paused) {
      const rows = this.fresh.splice(0).filter((entry) => this.#matches(entry)).slice(-MAX_ROWS).map(row);
      if (rows.length) this.list.prepend(...rows.reverse());
      while (this.list.children.length > MAX_ROWS || Number(this.list.lastChild?.dataset.at) < oldest) {
        this.list.lastChild.remove();
      }
    }
    const recent = this.kept.filter((entry) => entry.at >= oldest).length;
    const count = `${recent} in the last 60 seconds`;
    setText(byId("log-count"), this.paused ? `${count}, ${this.missed} of them since the pause` : count);
  }

  #matches(entry) {
    return !this.filter || entry.text.toLowerCase().includes(this.filter);
  }

  #pause() {
    // What has come by now is part of what a pause shows.
    this.draw();
    this.paused = !this.paused;
    this.pausedAt = performance.now();
    const button = byId("pause");
    button.setAttribute("aria-pressed", String(this.paused));
    button.textContent = this.paused ? "Go on" : "Pause";
    if (!this.paused) this.#rebuild();
  }

  #rebuild() {
    this.fresh = [];
    const until = this.paused ? this.pausedAt : Infinity;
    const rows = this.kept.filter((entry) => entry.at <= until && this.#matches(entry));
    this.list.replaceChildren(...rows.slice(-MAX_ROWS).reverse().map(row));
    this.draw();
  }
}

const WORDS = { in: "received", out: "sent", polled: "polled" };

function row({ at, clock, kind, text }) {
  const time = clock.toLocaleTimeString("en-GB") + `.${String(clock.getMilliseconds()).padStart(3, "0")}`;
  return make("li", { dataset: { at, kind } },
    make("time", { textContent: time }),
    make("span", { className: "way", textContent: WORDS[kind] }),
    make("code", { textContent: text }));
}
