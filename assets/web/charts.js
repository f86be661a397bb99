// Curves over the number of pictures seen.

import { brief } from "./dom.js";
import uPlot from "./vendor/uPlot.esm.js";

// Points of a curve at most; beyond, every other one is dropped.
const MOST_POINTS = 800;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Pictures seen: 12k reads better than 12,000 on an axis.
const thousands = (value) => (value >= 1000 ? `${+(value / 1000).toFixed(1)}k` : String(value));

// Pictures and epochs are whole.
const WHOLE = Array.from({ length: 8 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

const all = new Set();

// Charts yet to be made: one a frame, so that many of them do not block the page.
const waiting = [];

function makeNext() {
  const chart = waiting.shift();
  if (all.has(chart)) chart.make();
  if (waiting.length > 0) requestAnimationFrame(makeNext);
}

// Colours are the theme's: when it changes, every chart is made anew.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all.forEach((chart) => chart.plot && chart.make()));

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) all.forEach((chart) => chart.element === target && chart.fit());
});

// A chart of named curves. `curves`: [{ name, colour (a CSS variable), scale, width }]; `scales`: { name: { min, max,
// side, format } }; `x`: what runs along the other axis.
export class Chart {
  constructor(element, { curves, scales, height, axes = true, legend = false, x = "pictures seen" }) {
    Object.assign(this, { element, curves, scales, height, axes, legend, x });
    this.data = [[], ...curves.map(() => [])];
    all.add(this);
    element.style.minHeight = `${height}px`;
    if (waiting.push(this) === 1) requestAnimationFrame(makeNext);
    resized.observe(element);
  }

  destroy() {
    all.delete(this);
    resized.unobserve(this.element);
    this.plot?.destroy();
  }

  make() {
    this.plot?.destroy();
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const [line, muted] = [css("--line"), css("--muted")];
    const axis = { stroke: muted, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, gap: 4 };
    const yAxes = Object.entries(this.scales).map(([scale, { side, format }]) => ({
      ...axis,
      scale,
      side: side === "right" ? 1 : 3,
      grid: side === "right" ? { show: false } : axis.grid,
      size: 34,
      space: 26,
      values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : format(tick))),
    }));
    const xAxis = { ...axis, size: 20, space: 46, incrs: WHOLE, values: (_, ticks) => ticks.map(thousands) };
    this.plot = new uPlot(
      {
        width: this.width(),
        height: this.height,
        padding: this.axes ? [8, 6, 0, 0] : [3, 3, 3, 3],
        cursor: { show: this.legend, y: false, points: { size: 6 } },
        legend: { show: this.legend, live: this.legend },
        scales: { x: { time: false }, ...this.ranges() },
        axes: this.axes ? [xAxis, ...yAxes] : [{ show: false }, { show: false }],
        series: [
          { label: this.x, value: (_, value) => (value === null ? "–" : thousands(value)) },
          ...this.curves.map(({ name, colour, scale, width = 1.6 }) => ({
            label: name,
            scale,
            stroke: css(colour) || colour,
            width,
            spanGaps: true,
            points: { show: false },
            value: (_, value) => (value === null || value === undefined ? "–" : this.scales[scale].format(value)),
          })),
        ],
      },
      this.data,
      this.element,
    );
  }

  ranges() {
    return Object.fromEntries(
      Object.entries(this.scales).map(([name, { min, max }]) => [
        name,
        { range: (_, low, high) => [min ?? low ?? 0, Math.max(max?.(high) ?? 0, (high ?? 1) * 1.05)] },
      ]),
    );
  }

  width() {
    return Math.max(80, Math.floor(this.element.clientWidth));
  }

  fit() {
    if (this.plot && this.width() !== this.plot.width) this.plot.setSize({ width: this.width(), height: this.height });
  }

  // Appends a point: x and a value, or null, for each curve. A later one at the same x goes over it.
  push(x, values) {
    const [xs, ...ys] = this.data;
    if (xs.at(-1) === x) {
      ys.forEach((curve, i) => (curve[curve.length - 1] = values[i] ?? curve[curve.length - 1]));
    } else {
      xs.push(x);
      ys.forEach((curve, i) => curve.push(values[i] ?? null));
    }
    if (xs.length > MOST_POINTS) this.data = this.data.map((curve) => curve.filter((_, i) => i % 2 === 1));
    this.plot?.setData(this.data);
  }
}

// An error in percent: at least up to 10, so that a small one is not blown up.
const error = (side, format) => ({ min: 0, max: () => 10, side, format });

// The large chart of a run's errors, in the place of what `element` shows.
export function errorChart(element, curves, x) {
  element.replaceChildren();
  const scales = { error: error("left", (value) => `${+value.toFixed(1)}%`) };
  return new Chart(element, { curves: curves.map((curve) => ({ ...curve, scale: "error" })), scales, height: 240, legend: true, x });
}

// The small chart of a block, its loss and, where it has one, its error.
export function learningChart(element, hasError = true) {
  const loss = { name: "loss", colour: "--loss", scale: "loss" };
  const scales = { loss: { min: 0, side: "left", format: brief } };
  if (!hasError) return new Chart(element, { curves: [loss], scales, height: 96 });
  const curves = [loss, { name: "error", colour: "--error", scale: "error" }];
  return new Chart(element, { curves, scales: { ...scales, error: error("right", (value) => `${value}%`) }, height: 96 });
}
