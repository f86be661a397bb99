// A recorded run for browsers without WebGPU: the lines of a real metrics.jsonl, as `predsim train` wrote them, shown epoch
// by epoch. What the file does not hold (features, similarity matrices, votes) is not shown.

import { errorChart, learningChart } from "./charts.js";
import { brief, byId, h, percent } from "./dom.js";

// Milliseconds between two epochs.
const PACE = 700;

// Shows the run in `element`, its errors in `errors`; `told` gets every epoch's test line.
export async function playRecorded(element, errors, told) {
  const [metrics, config] = await Promise.all(["metrics.jsonl", "config.toml"].map(text));
  const rows = metrics.trim().split("\n").map((line) => JSON.parse(line));
  const train = rows.filter(({ split }) => split === "train");
  const tests = new Map(rows.filter(({ split }) => split === "test").map((row) => [row.epoch, row]));
  const cards = [...train[0].blocks.map(({ name }) => new Card(name)), new Card("output")];
  const items = cards.map((card, i) => (i === 0 ? card.element : [link(), card.element])).flat();
  const setting = (name) => config.match(new RegExp(`^${name} = (.*)$`, "m"))?.[1].replaceAll('"', "") ?? "?";
  element.replaceChildren(
    h(
      "section",
      { class: "lane local", "aria-label": "Recorded run" },
      h("header", {},
        h("h2", {}, "Recorded run"),
        h("p", {}, `not trained here: metrics.jsonl of predsim ${setting("version")} on ${setting("adapter")}, ${setting("model")} on ${setting("dataset")}, ${train.length} epochs`),
      ),
      h("ol", { class: "blocks", tabindex: "0", "aria-label": "The blocks in order" }, ...items),
    ),
  );
  const curves = [{ name: "training", colour: "--local", width: 1 }, { name: "test", colour: "--local", width: 2.4 }];
  const chart = errorChart(errors, curves, "epochs");
  for (const row of train) {
    const test = tests.get(row.epoch);
    [...row.blocks, output(row)].forEach((block, i) => cards[i].show(row.epoch, block, test && [...test.blocks, test][i]));
    chart.push(row.epoch, [row.error_percent, test?.error_percent]);
    told(row, test, train.length);
    await new Promise((resolve) => setTimeout(resolve, PACE));
  }
}

async function text(name) {
  const answer = await fetch(new URL(`./recorded/${name}`, import.meta.url));
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer.text();
}

const output = ({ loss_global, error_percent }) => ({ loss_pred: loss_global, loss_sim: null, error_percent, grad_norm: null });

function link() {
  const element = h("li", { class: "link", "aria-hidden": "true" });
  element.innerHTML = '<svg viewBox="0 0 28 40"><path class="forward" d="M2 14H24M18 8l6 6-6 6"/></svg>';
  return element;
}

// A block's losses and error by epoch.
class Card {
  constructor(name) {
    const chart = h("div", { class: "chart", "aria-hidden": "true" });
    const row = (class_, title) => {
      const value = h("dd", {}, "–");
      return [h("div", { class: class_ }, h("dt", {}, title), value), value];
    };
    const rows = { loss: row("loss", "loss"), error: row("error", "error"), test: row("test", "test error"), grad: row("grad", "gradient") };
    if (name === "output") delete rows.grad;
    this.values = Object.fromEntries(Object.entries(rows).map(([key, [, value]]) => [key, value]));
    this.element = h("li", { class: "block" }, h("h3", {}, name), chart, h("dl", {}, ...Object.values(rows).map(([line]) => line)));
    // A chart has the width of its element, which has none before it is on the page.
    this.place = chart;
  }

  show(epoch, { loss_pred, loss_sim, error_percent, grad_norm }, test) {
    this.chart ??= learningChart(this.place);
    const loss = loss_pred === null && loss_sim === null ? null : (loss_pred ?? 0) + (loss_sim ?? 0);
    this.chart.push(epoch, [loss, error_percent]);
    this.values.loss.textContent = brief(loss);
    this.values.error.textContent = percent(error_percent);
    this.values.test.textContent = percent(test?.error_percent ?? null);
    if (this.values.grad) this.values.grad.textContent = brief(grad_norm);
  }
}
