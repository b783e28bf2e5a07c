// The TPS chart: what came in the last 60 seconds, drawn by uPlot.

import uPlot from "./vendor/uPlot.esm.js";
import { byId, number } from "./dom.js";

/** Points of the line at most; those that come faster replace each other. */
const MAX_POINTS = 2000;
const TICKS = [0, 15, 30, 45, 60];

export class Chart {
  /** `span` is how much time is kept, in milliseconds; the axis always calls it 60 seconds. */
  constructor(element, span) {
    this.element = element;
    this.span = span;
    this.times = [];
    this.values = [[], [], []];
    this.plot = null;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#build());
    new ResizeObserver(() => this.#fit()).observe(element);
  }

  add({ currentTPS, averageTPS, peakTPS }) {
    const now = performance.now();
    const crowded = now - this.times.at(-1) < this.span / MAX_POINTS && this.values[0].at(-1) !== null;
    if (crowded) for (const list of [this.times, ...this.values]) list.pop();
    this.times.push(now);
    [currentTPS, averageTPS, peakTPS].forEach((value, index) => {
      this.values[index].push(Number.isFinite(value) ? value : null);
    });
    if (!this.plot) this.#build();
  }

  /** From here to the next point no line is drawn: nobody knows what happened in between. */
  gap() {
    if (this.times.length === 0) return;
    this.times.push(performance.now());
    for (const list of this.values) list.push(null);
  }

  /** Called a few times a second, lets time pass: what is too old is dropped, not hidden. */
  draw() {
    const now = performance.now();
    let old = 0;
    while (old < this.times.length && this.times[old] < now - this.span) old += 1;
    if (old) for (const list of [this.times, ...this.values]) list.splice(0, old);
    byId("chart-empty").hidden = this.times.length > 0;
    if (!this.plot) return;
    this.now = now;
    this.plot.setData([this.times, ...this.values]);
    this.#describe();
  }

  #describe() {
    const [current, average, peak] = this.values.map((list) => list.at(-1));
    const text = this.times.length
      ? `The last 60 seconds. Current ${number(current)}, average ${number(average)}, peak ${number(peak)}.`
      : "No update yet.";
    if (this.element.ariaLabel !== text) this.element.ariaLabel = text;
  }

  #fit() {
    this.plot?.setSize({ width: this.element.clientWidth, height: this.element.clientHeight });
  }

  #build() {
    const style = getComputedStyle(this.element);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.plot?.destroy();
    const axis = {
      stroke: colour("--muted"),
      font: `12px ${style.fontFamily}`,
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
    };
    this.now = performance.now();
    this.plot = new uPlot(
      {
        width: this.element.clientWidth,
        height: this.element.clientHeight,
        padding: [12, 12, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { time: false, range: () => [this.now - this.span, this.now] },
          y: { range: (_, least, most) => padded(least, most) },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 28,
            splits: () => TICKS.map((seconds) => this.now - (seconds / 60) * this.span),
            values: () => TICKS.map((seconds) => (seconds ? `−${seconds} s` : "now")),
          },
          { ...axis, size: 56, values: (_, splits) => short(splits) },
        ],
        series: [
          {},
          { stroke: colour("--accent"), width: 2, points: { show: false } },
          { stroke: colour("--muted"), width: 1.5, dash: [6, 4], points: { show: false } },
          { stroke: colour("--peak"), width: 1.5, dash: [2, 3], points: { show: false } },
        ],
      },
      [this.times, ...this.values],
      this.element,
    );
  }
}

/** 830,000 is 830 k where that keeps the ticks apart; a source of one's own may have small figures. */
export function short(ticks) {
  const inThousands = ticks.at(-1) >= 10_000 && ticks.every((value) => value % 100 === 0);
  return ticks.map((value) => (inThousands ? `${number(value / 1000)} k` : number(value)));
}

/** The ends of the axis: never so close that noise looks like more. */
export function padded(least, most) {
  if (least == null || most == null) return [0, 1];
  const room = Math.max((most - least) * 0.15, Math.abs(most) * 0.006, 1);
  return [least - room, most + room];
}
