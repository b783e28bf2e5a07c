// The thread theatre: what GET /lab/threads says, as lanes and cells.

import { THREADS_PATH } from "./contract.js";
import { announce, byId, duration, make, number, setText } from "./dom.js";
import { Lane, cellWords } from "./lane.js";

const PERIOD = 500;
const LEAST_PERIOD = 100;
/** How long an answer may take, in milliseconds. */
const TIMEOUT = 10_000;
/** How long what has ended is still shown, in milliseconds. */
const AFTERGLOW = 4000;
const LEAST_AFTERGLOW = 1000;
/** After so long, in milliseconds, a source that hasn't answered is said to stall. */
const STALLED = 1000;

export class Theatre {
  constructor(stream, extras, offered) {
    this.stream = stream;
    this.extras = extras;
    this.offered = offered;
    this.lanes = new Map();
    this.selected = null;
    this.afterglow = Math.max(LEAST_AFTERGLOW, AFTERGLOW * stream.scale);
    byId("open-one").addEventListener("click", () => this.#open(1));
    byId("open-five").addEventListener("click", () => this.#open(5));
    byId("close-all").addEventListener("click", () => announce(`Closing ${extras.closeAll()} connections`));
    if (offered) setInterval(() => this.#ask(), Math.max(LEAST_PERIOD, PERIOD * stream.scale));
    else this.#say();
  }

  select(name) {
    this.selected = this.selected === name ? null : name;
    this.#detail();
    const cell = this.#selectedCell();
    if (cell) announce(`${cell.label} runs ${cell.data.runs}, the original’s ${cell.data.mirrors ?? "nothing"}`);
  }

  #open(count) {
    const opened = this.extras.open(count);
    announce(opened ? `Opening ${opened} connections` : "The page holds no more connections than these");
  }

  #say() {
    byId("no-theatre").textContent = "This server offers no thread list.";
    byId("no-theatre").hidden = false;
    byId("stage").hidden = true;
  }

  /** Only while there is a server to ask, somebody to look, and no other question under way. */
  async #ask() {
    byId("stage").classList.toggle("stale", !this.stream.isOpen);
    if (this.asking || !this.offered || !this.stream.isOpen || document.hidden) return;
    this.asking = true;
    const own = this.stream.connectionId?.slice(0, 8);
    const list = await this.#fetch(own);
    this.asking = false;
    if (list) this.#show(list, own);
  }

  /** The server's list; null when it has none, or gives none now. */
  async #fetch(own) {
    const first = [own, ...this.extras.ids].filter(Boolean).join(",");
    const { headers } = this.stream.token;
    const options = { cache: "no-store", headers, signal: AbortSignal.timeout(TIMEOUT) };
    try {
      const answer = await fetch(`${THREADS_PATH}?first=${first}`, options);
      if (answer.ok) return await answer.json();
      if (answer.status === 404) {
        this.offered = false;
        this.#say();
      }
    } catch {
      // The connection's state says it.
    }
    return null;
  }

  #show(list, own) {
    const now = performance.now();
    this.latest = list;
    this.#totals(list);
    const lanes = list.workers.length
      ? [{ connection: "shared", open: true, age_ms: null, threads: list.workers, more_threads: 0 }, ...list.lanes]
      : list.lanes;
    const seen = new Set();
    for (const data of lanes) {
      const id = data.connection;
      seen.add(id);
      if (!this.lanes.has(id)) this.lanes.set(id, new Lane(id, this));
      this.lanes.get(id).show(data, now, { own: id === own, extra: this.extras.byId.has(id) });
    }
    for (const [id, lane] of this.lanes) {
      if (!seen.has(id) && lane.end(now)) {
        lane.element.remove();
        this.lanes.delete(id);
      }
    }
    this.#arrange(own);
    const more = list.more_lanes;
    const noun = more === 1 ? "connection" : "connections";
    setText(byId("more"), more ? `and ${number(more)} more ${noun}, not listed` : "");
    setText(byId("source"), sourceWords(list.source ?? {}));
    this.#detail();
  }

  #totals(list) {
    const shared = list.broadcaster !== "threads";
    setText(byId("total-clients"), number(list.clients));
    setText(byId("total-channels-name"), shared ? "Shared threads" : "Channel threads");
    setText(byId("total-channels"), number(shared ? list.shared_threads : list.channel_threads));
    setText(byId("total-formula"), `4 × ${number(list.clients)} = ${number(list.formula)}`);
    setText(byId("total-handlers"), number(list.handler_threads));
  }

  /** Own lane first, then as they came; an element is moved only where it must be, so that focus stays. */
  #arrange(own) {
    const rank = (id) => (id === "shared" ? 0 : id === own ? 1 : this.extras.byId.has(id) ? 2 : 3);
    const ordered = [...this.lanes].sort(([one], [other]) => rank(one) - rank(other));
    const container = byId("lanes");
    let place = container.firstChild;
    for (const [, { element }] of ordered) {
      if (element === place) place = place.nextSibling;
      else container.insertBefore(element, place);
    }
  }

  #cells() {
    return [...this.lanes.values()].flatMap((lane) => [...lane.cells.values()]);
  }

  #selectedCell() {
    return this.#cells().find((cell) => cell.key === this.selected);
  }

  #detail() {
    for (const cell of this.#cells()) cell.mark(cell.key === this.selected);
    const cell = this.#selectedCell();
    byId("detail").hidden = !cell;
    byId("detail-empty").hidden = Boolean(cell);
    if (!cell) return;
    const { name, runs, mirrors, at, age_ms: age, sends } = cell.data;
    setText(byId("detail-name"), name ?? "none of its own");
    dotted(byId("detail-runs"), runs);
    setText(byId("detail-mirrors"), mirrors ?? "nothing: the original has no such thread");
    setText(byId("detail-at"), cell.ended ? "–" : (at ?? "–"));
    const parts = [cellWords(cell.state)];
    if (age !== null) parts.push(`${duration(age)} old`);
    if (sends !== null) parts.push(`${number(sends)} sent`);
    setText(byId("detail-now"), parts.join(", "));
  }
}

/** What is wrong with a source of figures that isn't the simulated one (--source); empty when nothing is. */
function sourceWords(source) {
  const words = Object.entries(source).flatMap(([channel, { errors, last_error: kind, longest_ms: longest }]) => [
    ...(errors ? [`${channel}: ${number(errors)} updates skipped, the last for ${kind}`] : []),
    ...(longest > STALLED ? [`${channel}: the source stalls for ${duration(longest)}`] : []),
  ]);
  return words.join("; ");
}

/** A dotted name that may break after its dots. */
function dotted(element, name) {
  if (element.textContent === name) return;
  element.replaceChildren(...name.split(/(?<=\.)/).flatMap((part) => [part, make("wbr")]));
}
