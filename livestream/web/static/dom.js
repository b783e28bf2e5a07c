// Small helpers for the page: elements, numbers, durations.

export const byId = (id) => document.getElementById(id);

/** An element with properties and children; text is only ever text. */
export function make(tag, properties = {}, ...children) {
  const { dataset, ...others } = properties;
  const element = Object.assign(document.createElement(tag), others);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

/** Sets the text only when it changes, so that nothing is announced or painted twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Tells a screen reader, politely. */
export function announce(text) {
  byId("announce").textContent = text;
}

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

/** 801234 is 801,234; anything but a number is a dash. */
export function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? grouped.format(value) : "–";
}

/** Milliseconds as people say them: 850 ms, 4.2 s, 38 s, 5 min, 3 h. */
export function duration(ms) {
  if (typeof ms !== "number" || !Number.isFinite(ms)) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}
