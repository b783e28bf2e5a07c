// One WebSocket client: messages, connection state, retries as the report's client has them, and the REST fallback.

import { INITIAL_CHANNEL } from "./contract.js";

/** Pauses before the five attempts to reconnect, in seconds (SPEC, "The portal client"). */
export const RETRY_SECONDS = [3, 6, 12, 24, 48];
const POLL_SECONDS = 1;
/** How long an answer to a poll may take, in milliseconds. */
const POLL_TIMEOUT = 10_000;
/** A handshake may take so long, then a line that has spoken may be silent, and then a pong may take so long. */
const CONNECT_TIMEOUT = 5_000;
const SILENCE = 30_000;
const PONG_TIMEOUT = 10_000;
/** However small the scale: a busy machine needs its time. */
const LEAST_TIMEOUT = 2_000;
/** Pings without a pong yet. */
const MAX_PINGS = 100;

/**
 * Events: "state" (detail: {state, attempt, at}), "message" (detail: {message, text, polled}), "sent" (detail: text).
 * States: connecting, open, reconnecting (until `at`), polling (the WebSocket is still retried, at `at`), closed.
 * `scale` multiplies every delay; `token` (`Token`) says who we are. Times are those of `performance.now()`.
 */
export class Stream extends EventTarget {
  constructor(url, pollUrl, token, scale = 1) {
    super();
    this.url = url;
    this.pollUrl = pollUrl;
    this.token = token;
    this.scale = scale;
    this.state = "closed";
    this.connectionId = null;
    this.attempt = 0;
    this.pings = [];
    /** Channels that were asked for, to be asked for again on a new connection. */
    this.wanted = new Set();
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.retryTimer);
    if (this.socket) return;
    if (this.state !== "polling" && this.attempt === 0) this.#become("connecting");
    const socket = new WebSocket(this.url, this.token.subprotocols);
    this.socket = socket;
    socket.addEventListener("open", () => this.#onOpen());
    socket.addEventListener("message", (event) => this.#onText(event.data));
    socket.addEventListener("close", () => this.#onClose(socket));
    this.lineTimer = setTimeout(() => this.#giveUp(socket), this.#limit(CONNECT_TIMEOUT));
  }

  /** An attempt out of turn: when it fails, the next one is due as before. */
  hurry() {
    if (this.socket) return;
    this.dueAnyway = this.retryAt;
    this.connect();
  }

  /** For good: a wanted disconnect is never followed by a reconnect. */
  close() {
    clearTimeout(this.retryTimer);
    clearTimeout(this.lineTimer);
    this.#stopPolling();
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.#become("closed");
  }

  /** The channel stands beside the type, not inside a payload. */
  subscribe(channel) {
    this.wanted.add(channel);
    return this.send({ type: "subscribe", channel });
  }

  unsubscribe(channel) {
    this.wanted.delete(channel);
    return this.send({ type: "unsubscribe", channel });
  }

  /** Milliseconds until the pong; rejects, with a word, when the connection ends first or none comes in time. */
  ping() {
    return new Promise((resolve, reject) => {
      const sent = performance.now();
      if (this.pings.length >= MAX_PINGS) return reject(new Error("no pong"));
      if (!this.send({ type: "ping" })) return reject(new Error("not connected"));
      // One that is late stays in the queue: its pong must not be taken for the next one's.
      this.pings.push({ pong: () => resolve(performance.now() - sent), lost: () => reject(new Error("lost")) });
      setTimeout(() => reject(new Error("no pong")), this.#limit(PONG_TIMEOUT));
    });
  }

  /** False when there is no connection. */
  send(message) {
    if (!this.isOpen) return false;
    const text = JSON.stringify(message);
    this.socket.send(text);
    this.#tell("sent", text);
    return true;
  }

  #onOpen() {
    this.attempt = 0;
    this.dueAnyway = null;
    clearTimeout(this.lineTimer);
    this.#stopPolling();
    this.#become("open");
    // The initial channel starts by itself; asking would double it.
    for (const channel of this.wanted) if (channel !== INITIAL_CHANNEL) this.send({ type: "subscribe", channel });
  }

  /** Called with every message: a line that has spoken and falls silent is asked, and given up without an answer. */
  #listen() {
    clearTimeout(this.lineTimer);
    this.lineTimer = setTimeout(() => {
      this.ping().catch(() => {});
      this.lineTimer = setTimeout(() => this.#giveUp(this.socket), this.#limit(PONG_TIMEOUT));
    }, this.#limit(SILENCE));
  }

  #giveUp(socket) {
    socket?.close();
    // The browser itself would wait for the server's answer to the Close frame.
    this.#onClose(socket);
  }

  #limit(milliseconds) {
    return Math.max(LEAST_TIMEOUT, milliseconds * this.scale);
  }

  #onText(data) {
    this.#listen();
    // The server's messages are text; of any other it is enough to know that it came.
    const text = typeof data === "string" ? data : "(a binary message)";
    let message = null;
    try {
      message = JSON.parse(text);
    } catch {
      // Shown in the log all the same.
    }
    if (message?.type === "connection_established") this.connectionId = String(message.payload?.connectionId);
    if (message?.type === "pong") this.pings.shift()?.pong();
    this.#tell("message", { message, text, polled: false });
  }

  #onClose(socket) {
    if (socket !== this.socket || !socket) return;
    clearTimeout(this.lineTimer);
    this.socket = null;
    this.connectionId = null;
    for (const ping of this.pings.splice(0)) ping.lost();
    if (this.dueAnyway) {
      this.retryTimer = setTimeout(() => this.connect(), Math.max(0, this.dueAnyway - performance.now()));
      this.dueAnyway = null;
      return;
    }
    const pause = RETRY_SECONDS[Math.min(this.attempt, RETRY_SECONDS.length - 1)] * 1000 * this.scale;
    const failedAll = this.attempt >= RETRY_SECONDS.length;
    this.attempt += 1;
    this.retryAt = performance.now() + pause;
    this.retryTimer = setTimeout(() => this.connect(), pause);
    this.#become(failedAll ? "polling" : "reconnecting");
    if (failedAll) this.#startPolling();
  }

  #startPolling() {
    if (this.pollTimer) return;
    let underWay = false;
    const poll = async () => {
      if (underWay) return;
      underWay = true;
      try {
        const { headers } = this.token;
        const signal = AbortSignal.timeout(POLL_TIMEOUT);
        const answer = await fetch(this.pollUrl, { cache: "no-store", headers, signal });
        this.#onStatistics(await answer.json());
      } catch {
        // The state says already that the server is gone.
      }
      underWay = false;
    };
    this.pollTimer = setInterval(poll, POLL_SECONDS * 1000 * this.scale);
    poll();
  }

  #stopPolling() {
    clearInterval(this.pollTimer);
    this.pollTimer = null;
  }

  /** The snapshot's figures, shaped like an update. */
  #onStatistics({ transactionStats, performance: figures, timestamp }) {
    if (this.state !== "polling") return;
    const { currentTPS, peakTPS, averageTPS } = transactionStats;
    const payload = { currentTPS, peakTPS, averageTPS, latency: figures.averageLatency };
    const message = { type: "tps_update", payload, timestamp };
    this.#tell("message", { message, text: JSON.stringify(message), polled: true });
  }

  #become(state) {
    this.state = state;
    this.#tell("state", { state, attempt: this.attempt, at: this.retryAt });
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
