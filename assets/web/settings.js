// The settings: in the form, in the page's address, and as the flags that the engine takes.

// What the form does not show, with the page's defaults. An address may name any flag of `predsim train`.
const HIDDEN = {
  "dim-in-decoder": 512,
  epochs: 20,
  seed: 1,
  "lr-decay-milestones": [10, 15],
};

const NUMBERS = ["feat-mult", "num-layers", "num-hidden", "lr", "batch-size"];

const form = document.getElementById("settings");
const defaults = read();
let extra = {};

// What the form says.
function read() {
  const fields = new FormData(form);
  const settings = { dataset: fields.get("dataset"), model: fields.get("model") };
  for (const name of NUMBERS) settings[name] = Number(fields.get(name));
  return { ...settings, signal: fields.get("signal"), compare: fields.has("compare") };
}

// Writes values into the form; one that a menu lacks is added to it.
export function write(settings) {
  for (const [name, value] of Object.entries(settings)) {
    if (name === "compare") {
      form.elements.compare.checked = Boolean(value);
      continue;
    }
    const element = form.elements[name];
    if (element instanceof HTMLSelectElement && ![...element.options].some((option) => option.value === String(value))) {
      element.add(new Option(String(value), String(value)));
    }
    if (element) element.value = String(value);
  }
  show();
}

// Flags for the engine, and whether backprop runs beside.
export function current() {
  const { signal, compare, ...settings } = read();
  const backprop = signal === "backprop";
  const flags = { ...HIDDEN, ...settings, backprop, ...(backprop ? {} : { "loss-sup": signal }), ...extra };
  if (flags.model !== "mlp") flags["num-layers"] = extra["num-layers"] ?? 1;
  return { flags, compare: compare && !backprop };
}

// Shows which fields matter, and the settings in short.
export function show() {
  const { model, signal, compare } = read();
  for (const label of form.querySelectorAll("[data-for]")) {
    label.hidden = label.dataset.for === "mlp" ? model !== "mlp" : model === "mlp";
  }
  form.elements.compare.disabled = signal === "backprop";
  const parts = [model, signal, compare && signal !== "backprop" ? "beside backprop" : ""];
  document.getElementById("summary").textContent = parts.filter(Boolean).join(" · ");
}

// Reads what the address says after its #. Values are JSON where they can be: numbers, true, [1, 2].
export function fromAddress() {
  const given = Object.fromEntries(
    [...new URLSearchParams(location.hash.slice(1))].map(([name, text]) => {
      try {
        return [name, JSON.parse(text)];
      } catch {
        return [name, text];
      }
    }),
  );
  extra = Object.fromEntries(Object.entries(given).filter(([name]) => !(name in defaults)));
  write({ ...defaults, ...Object.fromEntries(Object.entries(given).filter(([name]) => name in defaults)) });
}

// The address that holds what differs from the defaults.
export function address() {
  const settings = read();
  const changed = Object.entries({ ...settings, ...extra }).filter(([name, value]) => value !== defaults[name]);
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const hash = new URLSearchParams(changed.map(([name, value]) => [name, text(value)])).toString();
  return `${location.pathname}${location.search}${hash && `#${hash}`}`;
}

// Takes over the settings of a checkpoint's run, those that the form does not show among them.
export function fromFlags({ backprop, "loss-sup": loss, ...flags }) {
  const given = Object.entries(flags).filter(([, value]) => value !== null);
  extra = Object.fromEntries(given.filter(([name, value]) => !(name in defaults) && !same(value, HIDDEN[name])));
  write({ ...Object.fromEntries(given.filter(([name]) => name in defaults)), signal: backprop ? "backprop" : loss, compare: false });
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

export function onChange(listener) {
  form.addEventListener("change", (event) => {
    show();
    if (form.reportValidity()) listener(event.target.name);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
}
