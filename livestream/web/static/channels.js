// A card per channel: its latest values, how often they come, and the switches.

import { CHANNELS } from "./contract.js";
import { announce, byId, make, number, setText } from "./dom.js";

/** The rate is that of the last so many seconds. */
const RATE_SECONDS = 10;

export class Channels {
  constructor(stream) {
    this.stream = stream;
    this.cards = new Map(CHANNELS.map((channel) => [channel.name, new Card(channel, stream)]));
    byId("cards").append(...[...this.cards.values()].map((card) => card.element));
  }

  /** What this connection has asked for. */
  sent({ type, channel }) {
    if (type === "subscribe") this.cards.get(channel)?.count("asked");
    if (type === "unsubscribe") this.cards.get(channel)?.count("unasked");
  }

  /** An update, a confirmation, or nothing that concerns a card. */
  show(message) {
    const channel = message?.payload?.channel;
    if (message?.type === "subscription_confirmed") this.cards.get(channel)?.count("confirmed");
    if (message?.type === "unsubscription_confirmed") this.cards.get(channel)?.count("stopped");
    for (const card of this.cards.values()) if (card.channel.type === message?.type) card.update(message.payload);
  }

  draw() {
    for (const card of this.cards.values()) card.draw();
  }

  /** The counts are those of one connection. */
  reset() {
    for (const card of this.cards.values()) card.reset();
  }

  enable(open) {
    for (const card of this.cards.values()) for (const button of card.buttons) button.disabled = !open;
  }
}

class Card {
  constructor(channel, stream) {
    this.channel = channel;
    this.stream = stream;
    this.rate = make("p", { className: "rate" });
    this.values = make("dl", { className: "values" });
    this.counts = make("p", { className: "counts" });
    this.buttons = [
      this.#button("Subscribe", () => stream.subscribe(channel.name)),
      this.#button("Unsubscribe", () => stream.unsubscribe(channel.name)),
    ];
    const every = channel.seconds === 1 ? "every second" : `every ${channel.seconds} s`;
    this.element = make("article", { className: "card", dataset: { channel: channel.name } },
      make("header", {},
        make("h3", { textContent: channel.name }),
        make("p", { className: "quiet", textContent: every })),
      this.values, this.rate, this.counts, make("div", { className: "buttons" }, ...this.buttons));
    this.reset();
  }

  #button(text, act) {
    const button = make("button", { type: "button", textContent: text, ariaLabel: `${text} ${this.channel.name}` });
    button.addEventListener("click", () => {
      act();
      announce(`${text} ${this.channel.name}: sent`);
    });
    return button;
  }

  reset() {
    Object.assign(this, { asked: 0, confirmed: 0, unasked: 0, stopped: 0, times: [], first: null });
    this.draw();
  }

  count(what) {
    this[what] += 1;
    this.draw();
  }

  update(payload) {
    this.#forget();
    this.times.push(performance.now());
    this.first ??= this.times[0];
    const shown = Object.entries(payload ?? {}).slice(0, 8);
    while (this.values.children.length > shown.length) this.values.lastChild.remove();
    shown.forEach(([key, value], index) => {
      const pair = this.values.children[index] ?? this.values.appendChild(make("div", {}, make("dt"), make("dd")));
      setText(pair.firstChild, words(key));
      setText(pair.lastChild, typeof value === "number" ? number(value) : said(value));
    });
  }

  /** Arrivals that are too old for the rate. A pause as long as the window begins it anew. */
  #forget() {
    const since = performance.now() - RATE_SECONDS * 1000 * this.stream.scale;
    const fresh = this.times.findIndex((time) => time >= since);
    this.times.splice(0, fresh < 0 ? this.times.length : fresh);
    if (this.times.length === 0) this.first = null;
  }

  /** Updates a second; until the window is full, of as much of it as there is. */
  #rate() {
    const window = RATE_SECONDS * 1000 * this.stream.scale;
    if (performance.now() - this.first >= window) return this.times.length / RATE_SECONDS;
    return (1000 * this.stream.scale * (this.times.length - 1)) / (this.times.at(-1) - this.times[0]);
  }

  /** The rate in words. */
  #told() {
    if (this.times.length === 0) return "no updates";
    const rate = this.#rate();
    return Number.isFinite(rate) ? `${rate.toFixed(1)} updates a second` : "one update";
  }

  draw() {
    this.#forget();
    setText(this.rate, this.#told());
    const parts = [`asked ${this.asked}×, confirmed ${this.confirmed}×`];
    const answered = this.stopped ? `answered ${this.stopped}×` : "no answer";
    if (this.unasked) parts.push(`unsubscribed ${this.unasked}×, ${answered}`);
    setText(this.counts, parts.join("; "));
    this.element.classList.toggle("silent", this.times.length === 0);
  }
}

/** A value that is no number, in short. */
function said(value) {
  return (typeof value === "string" ? value : JSON.stringify(value)).slice(0, 100);
}

/** blockHeight is "Block height"; averageTPS is "Average TPS". */
function words(key) {
  const text = key.replace(/([a-z])([A-Z]+)/g, (_, before, capitals) =>
    `${before} ${capitals.length > 1 ? capitals : capitals.toLowerCase()}`);
  return text.charAt(0).toUpperCase() + text.slice(1);
}
