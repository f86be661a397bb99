// A network as a row of blocks, each with what it sees, how alike it finds the samples, and how it learns.

import { Chart, learningChart } from "./charts.js";
import { brief, h, percent } from "./dom.js";
import { grid, labelsMatrix, paintMaps, paintMatrix, paintSample } from "./pictures.js";

// Curves forget half of what they saw within about this many pictures.
const MEMORY = 500;

const ABOUT = {
  local: ["Local learning", "each block has an error of its own; no gradient passes from block to block"],
  backprop: ["Backpropagation", "one error at the end, sent back through all blocks"],
};

const ARROW = `<svg viewBox="0 0 28 40" aria-hidden="true"><path class="forward" d="M2 14H24M18 8l6 6-6 6"/>
  <path class="back" d="M26 28H4M10 22l-6 6 6 6"/><path class="cut" d="M14 20v16"/></svg>`;

export class Lane {
  // `about`: what the worker says of the run; `data` and `probe`: of its data set.
  constructor(about, data, probe) {
    Object.assign(this, { about, data, probe });
    this.name = about.name;
    this.last = null; // the sums that were drawn last
    this.cards = about.blocks.map((block) => new Card(block, about, this.name, probe, data));
    this.cards.push(new Card(null, about, this.name, probe, data));
    const [title, text] = ABOUT[this.name];
    const items = this.cards.flatMap((card) => [link(), card.element]);
    this.element = h(
      "section",
      { class: `lane ${this.name}`, "aria-label": title },
      h("header", {}, h("h2", {}, title), h("p", {}, text)),
      h("ol", { class: "blocks", tabindex: "0", "aria-label": `${title}: the blocks in order` }, ...items),
    );
  }

  // Puts an element in front of the first block.
  begin(element) {
    this.element.querySelector(".blocks").prepend(element);
  }

  destroy() {
    this.cards.forEach((card) => card.destroy());
    this.element.remove();
  }

  // Draws what has come since the last sums. Returns the pictures seen so far and the output's error.
  progress({ epoch, step, sums }) {
    if (sums.length === 0) return null;
    const before = this.last?.epoch === epoch ? this.last.sums : null;
    const since = sums.map((sum, i) => difference(sum, before?.[i]));
    if (since.at(-1).samples <= 0) return null;
    this.last = { epoch, sums };
    const seen = (epoch - 1) * this.data.train + sums.at(-1).samples;
    this.cards.forEach((card, i) => card.progress(seen, since[i]));
    return { seen, step, error: this.cards.at(-1).smooth.error };
  }

  // The end of an epoch: what the blocks are like on the test pictures.
  epoch({ test }) {
    this.cards.forEach((card, i) => card.tested(i < test.blocks.length ? test.blocks[i] : test));
  }

  view({ blocks }, maps) {
    blocks.forEach((block, i) => this.cards[i].view(block, maps));
  }

  maps({ blocks }) {
    blocks.forEach((block, i) => this.cards[i].maps(block));
  }
}

function link() {
  const element = h("li", { class: "link", "aria-hidden": "true" });
  element.innerHTML = ARROW;
  return element;
}

function difference(sum, before) {
  return Object.fromEntries(Object.entries(sum).map(([name, value]) => [name, value - (before?.[name] ?? 0)]));
}

// One block, or with `block` null the output layer.
class Card {
  constructor(block, about, lane, probe, data) {
    this.block = block;
    this.weights = about.weights;
    this.output = block === null;
    this.local = lane === "local";
    this.smooth = { loss: null, error: null, grad: null };
    this.hasLoss = this.output || block.pred || block.sim;
    this.hasError = this.output || block.pred;
    const name = this.output ? "output" : block.name;
    const shape = this.output ? `${data.classes.length} classes` : block.shape.filter((n, i) => i === 2 || block.shape[0] > 1).join("×");
    this.element = h("li", { class: "block" }, h("h3", {}, name, h("span", {}, shape)));
    if (!this.output) this.pictures(probe, data);
    this.learning();
  }

  // The block's maps, and its similarity matrix beside the labels'.
  pictures(probe, data) {
    const { name, shape } = this.block;
    const { columns, rows, height, width, count } = grid(shape);
    const what = shape[0] * shape[1] === 1 ? `${count} units` : `${count} of ${shape[2]} maps`;
    this.mapsCanvas = h("canvas", { class: "maps", role: "img", "aria-label": `Mean activation of ${name}: ${what}` });
    this.mapsCanvas.style.aspectRatio = `${columns * width} / ${rows * height}`;
    this.matrix = h("canvas", { role: "img", "aria-label": `Similarity matrix of ${name} for ${probe.labels.length} test pictures` });
    this.labels = h("canvas", { role: "img", "aria-label": "Similarity matrix of their labels" });
    paintMatrix(this.labels, probe.labels.length, labelsMatrix(probe.labels, data.classes.length));
    this.element.append(
      h("div", { class: "maps-box" }, this.mapsCanvas),
      h(
        "div",
        { class: "matrices" },
        h("figure", {}, this.matrix, h("figcaption", {}, "similarities")),
        h("figure", {}, this.labels, h("figcaption", {}, "the labels'")),
      ),
    );
  }

  // Curves and numbers.
  learning() {
    const chart = h("div", { class: "chart", "aria-hidden": "true" });
    const grad = h("div", { class: "chart spark", "aria-hidden": "true" });
    this.numbers = { loss: h("dd", {}, "–"), error: h("dd", {}, "–"), grad: h("dd", {}, "–"), test: h("dd", {}, "–") };
    const row = (class_, name, dd) => h("div", { class: class_, title: name === "gradient" ? "norm of the gradient, mean over the steps" : null }, h("dt", {}, name), dd);
    const list = h("dl", {});
    if (this.hasLoss) list.append(row("loss", this.output ? "loss" : "local loss", this.numbers.loss));
    if (this.hasError) list.append(row("error", "error", this.numbers.error), row("test", "test error", this.numbers.test));
    list.append(row("grad", "gradient", this.numbers.grad));
    this.element.append(chart);
    if (!this.hasLoss) chart.append(h("p", { class: "none" }, "no loss of its own"));
    this.element.append(list, grad);
    if (this.hasLoss) this.chart = learningChart(chart, this.hasError);
    this.spark = new Chart(grad, {
      curves: [{ name: "gradient norm", colour: "--grad", scale: "grad", width: 1.2 }],
      scales: { grad: { min: 0, format: brief } },
      height: 26,
      axes: false,
    });
  }

  destroy() {
    this.chart?.destroy();
    this.spark.destroy();
  }

  progress(seen, { samples, steps, pred, sim, wrong, grad_norm }) {
    const { weights } = this;
    const loss = this.output ? pred / samples : (weights.pred * pred + weights.sim * sim) / samples;
    const now = { loss: this.hasLoss ? loss : null, error: this.hasError ? (100 * wrong) / samples : null, grad: grad_norm / steps };
    const keep = Math.exp(-samples / MEMORY);
    for (const [name, value] of Object.entries(now)) {
      const old = this.smooth[name];
      this.smooth[name] = value === null || old === null ? value : keep * old + (1 - keep) * value;
    }
    this.exact = { loss: now.loss, samples };
    this.chart?.push(seen, [this.smooth.loss, this.smooth.error]);
    this.spark.push(seen, [this.smooth.grad]);
    this.numbers.loss.textContent = brief(this.smooth.loss);
    this.numbers.error.textContent = percent(this.smooth.error);
    this.numbers.grad.textContent = brief(this.smooth.grad);
  }

  tested({ error_percent }) {
    this.numbers.test.textContent = percent(error_percent);
  }

  view({ shape, activation, similarity }, maps) {
    paintMatrix(this.matrix, Math.sqrt(similarity.length), similarity);
    if (maps) paintMaps(this.mapsCanvas, shape, activation);
  }

  maps({ shape, activation }) {
    paintMaps(this.mapsCanvas, shape, activation);
  }
}

// The card in front of the blocks: test pictures, one of which can be looked at. `choose` gets its index in the probe, or
// null for the mean of all.
export function inputCard(data, probe, choose) {
  const name = `look-${crypto.randomUUID()}`;
  const option = (value, content, label) => {
    const input = h("input", { type: "radio", name, value, class: "visually-hidden", "aria-label": label });
    input.addEventListener("change", () => choose(value === "mean" ? null : Number(value)));
    return { input, element: h("label", { class: value === "mean" ? "mean" : "sample" }, input, content) };
  };
  const mean = option("mean", h("span", {}, `mean of ${probe.labels.length} test pictures`), "mean of all test pictures");
  mean.input.checked = true;
  const firsts = data.classes.map((_, label) => probe.labels.indexOf(label)).filter((index) => index >= 0).slice(0, 10);
  const samples = firsts.map((index) => {
    const canvas = h("canvas", {});
    paintSample(canvas, data.height, data.width, data.channels, probe.pictures[index]);
    return option(String(index), canvas, `test picture: ${data.classes[probe.labels[index]]}`);
  });
  const element = h(
    "li",
    { class: "block input" },
    h("h3", {}, "input", h("span", {}, `${data.height}×${data.width}${data.channels > 1 ? `×${data.channels}` : ""}`)),
    h("fieldset", {}, h("legend", {}, "The blocks' maps show"), mean.element, h("div", { class: "samples" }, ...samples.map(({ element }) => element))),
  );
  const check = (chosen) => [mean, ...samples].forEach(({ input }) => (input.checked = input.value === chosen));
  return { element, reset: () => check("mean"), none: () => check(null), select: (index) => check(String(index)) };
}
