// What a step keeps on the device, from the engine's plans: local learning's bar above backpropagation's.

import { byId, bytes, h } from "./dom.js";

const PARTS = [
  ["activations", "activations"],
  ["weights", "weights"],
  ["gradients", "gradients"],
  ["optimizer", "optimiser"],
];

export function showMemory(plans) {
  const sum = (plan) => PARTS.reduce((total, [part]) => total + plan[part], 0);
  const most = Math.max(sum(plans.local), sum(plans.backprop));
  const bar = ([name, title]) => {
    const plan = plans[name];
    const pieces = PARTS.map(([part]) => {
      const piece = h("i", { class: part });
      piece.style.width = `${(100 * plan[part]) / most}%`;
      return piece;
    });
    const words = PARTS.map(([part, title]) => `${title} ${bytes(plan[part])}`).join(", ");
    return h(
      "div",
      { class: `memory-row ${name}` },
      h("p", {}, h("b", {}, title), ` ${bytes(sum(plan))}`),
      h("div", { class: "stack", role: "img", "aria-label": words }, ...pieces),
      h("p", { class: "hint" }, `activations ${bytes(plan.activations)}`),
    );
  };
  const ratio = plans.local.activations / plans.backprop.activations;
  const legend = PARTS.map(([part, title]) => h("li", {}, h("i", { class: part }), title));
  byId("memory-bars").replaceChildren(
    ...[["local", "Local learning"], ["backprop", "Backpropagation"]].map(bar),
    h("ul", { class: "legend" }, ...legend),
    h("p", { class: "hint" }, `Local learning keeps ${ratio.toFixed(2)} times backpropagation's activations. Blocks forget as soon as they have learned: the deeper the network, the more that saves${ratio > 1 ? "; in one as small as this the heads weigh more" : ""}.`),
  );
}
