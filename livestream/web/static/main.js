// Wires the page together. Query: `url` (another server's stream), `scale` (multiplies every time of the page).
// Fragment: `token`, for a server that wants one.

import { Channels } from "./channels.js";
import { Chart } from "./chart.js";
import { STATS_PATH, STREAM_PATH } from "./contract.js";
import { announce, byId, duration, number, setText } from "./dom.js";
import { Extras } from "./extras.js";
import { Log } from "./log.js";
import { Profiles } from "./profiles.js";
import { RETRY_SECONDS, Stream } from "./stream.js";
import { Theatre } from "./theatre.js";
import { Token } from "./token.js";

const SPAN = 60_000;
const TICK = 250;
const LEAST_TICK = 50;
/** How long a new connection may say nothing, and any other, before the page speaks of it, in milliseconds. */
const FIRST_SILENCE = 5_000;
const LONG_SILENCE = 30_000;
const WORDS = {
  connecting: "Connecting",
  open: "Connected",
  reconnecting: "Disconnected",
  polling: "Polling",
  closed: "Closed",
};

const query = new URLSearchParams(location.search);
const scale = Number(query.get("scale")) > 0 ? Number(query.get("scale")) : 1;
const here = location.origin.replace(/^http/, "ws");
const url = streamUrl(query.get("url"));
const ours = new URL(url).host === location.host;
const pollUrl = new URL(STATS_PATH, url.replace(/^ws/, "http")).href;

const token = new Token(() => retry());
const stream = new Stream(url, pollUrl, token, scale);
const extras = new Extras(url, token);
const chart = new Chart(byId("chart"), SPAN * scale);
const channels = new Channels(stream);
const log = new Log(SPAN * scale);
const profiles = new Profiles(ours, token);
const theatre = new Theatre(stream, extras, ours);

let since = performance.now();
let lastMessage = since;
let polledAt = -Infinity;
let heard = false;
let stranger = false;

/** What `?url=` names, with the stream's path where it gives none; this page's server without it. */
function streamUrl(given) {
  try {
    const wanted = new URL(given);
    if (!/^wss?:$/.test(wanted.protocol)) throw new TypeError("not a WebSocket");
    if (wanted.pathname === "/") wanted.pathname = STREAM_PATH;
    wanted.hash = "";
    return wanted.href;
  } catch {
    return here + STREAM_PATH;
  }
}

stream.addEventListener("state", ({ detail: { state } }) => {
  if (state === "open" || byId("state").dataset.state === "open") {
    since = performance.now();
    chart.gap();
  }
  if (state === "open") {
    lastMessage = performance.now();
    heard = false;
    stranger = false;
    channels.reset();
    profiles.load();
  }
  // Only of this page's own server: what another one asks for, nobody should type in here.
  if (ours && state === "reconnecting") token.isWanted(pollUrl).then((wanted) => { stranger = wanted; });
  byId("state").dataset.state = state;
  channels.enable(state === "open");
  for (const id of ["ping", "open-one", "open-five", "close-all"]) byId(id).disabled = state !== "open";
  show();
});

stream.addEventListener("message", ({ detail: { message, text, polled } }) => {
  lastMessage = performance.now();
  heard = true;
  if (polled) polledAt = lastMessage;
  log.add(polled ? "polled" : "in", text);
  byId("polled").hidden = !polled;
  if (message?.type === "tps_update") {
    const { currentTPS, averageTPS, peakTPS, latency } = message.payload ?? {};
    setText(byId("tps-current"), number(currentTPS));
    setText(byId("tps-average"), number(averageTPS));
    setText(byId("tps-peak"), number(peakTPS));
    setText(byId("tps-latency"), `${number(latency)} ms`);
    chart.add({ currentTPS, averageTPS, peakTPS });
  }
  if (!polled) channels.show(message);
});

stream.addEventListener("sent", ({ detail }) => {
  log.add("out", detail);
  channels.sent(JSON.parse(detail));
});

byId("ping").addEventListener("click", async () => {
  try {
    setText(byId("round-trip"), `${(await stream.ping()).toFixed(1)} ms`);
  } catch ({ message }) {
    setText(byId("round-trip"), message);
  }
});

byId("retry").addEventListener("click", retry);

function retry() {
  announce("Trying to connect");
  stream.hurry();
}

/** Everything that changes with time alone. */
function show() {
  const now = performance.now();
  const { state } = stream;
  const silent = state === "open" && now - lastMessage > (heard ? LONG_SILENCE : FIRST_SILENCE) * scale;
  const silence = heard ? "Connected, but silent for half a minute" : "Connected, but it says nothing";
  setText(byId("state-text"), silent ? silence : WORDS[state]);
  byId("state").classList.toggle("silent", silent);
  setText(byId("uptime"), state === "open" ? `for ${duration(now - since)}` : "");
  const gone = state === "reconnecting" || state === "polling";
  byId("outage").hidden = !gone;
  if (gone) outage(state, now);
}

function outage(state, now) {
  const wait = Math.max(0, Math.ceil((stream.retryAt - now) / 1000 / scale));
  const next = stream.socket ? "Trying now." : `Next attempt in ${wait} s.`;
  setText(byId("outage-title"), stranger ? "The server wants a token." : "The server is gone.");
  setText(byId("countdown"), next);
  if (state === "reconnecting") {
    setText(byId("outage-text"), `Attempt ${stream.attempt} of ${RETRY_SECONDS.length} is due.`);
  } else {
    const answered = now - polledAt < 3000 * scale;
    const none = ours
      ? "Polling its figures once a second gets no answer either."
      : "Another server’s figures can’t be polled from this page, unless that server allows it (CORS).";
    const figures = answered ? "Its figures are polled once a second." : none;
    setText(byId("outage-text"), `${RETRY_SECONDS.length} attempts failed. ${figures}`);
  }
}

setText(byId("address"), url);
if (!ours) setText(byId("server"), " – another server than this page’s");
setInterval(() => {
  show();
  chart.draw();
  channels.draw();
  log.draw();
}, Math.max(LEAST_TICK, TICK * scale));
stream.connect();
// For whoever looks at it from the browser's console, and for tests.
window.livestream = { stream, extras, chart, log, theatre };
