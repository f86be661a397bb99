// The page: starts runs in a worker, hands its messages to the parts of the page that show them, and the other way round.

import { Lane, inputCard } from "./blocks.js";
import { errorChart } from "./charts.js";
import { byId, h, percent } from "./dom.js";
import { Pad, Votes } from "./drawing.js";
import { Engine } from "./engine.js";
import { NONE, dropTarget, isCheckpoint, recognise } from "./files.js";
import { showMemory } from "./memory.js";
import { notice, say, hideNotice } from "./notice.js";
import { playRecorded } from "./recorded.js";
import * as settings from "./settings.js";

let run = null; // the run that the page shows
let files = NONE; // the data set's, where it is not embedded

// ---------------------------------------------------------------- a run

// Starts over: with the form's settings, and from a checkpoint where there is one.
function start({ checkpoint = null, playing = true } = {}) {
  run?.engine.end();
  const { flags, compare } = settings.current();
  history.replaceState(null, "", settings.address());
  hideNotice();
  const engine = new Engine((message) => receive[message.type](message));
  run = { engine, flags, compare: compare && !checkpoint, playing, lanes: run?.lanes ?? [], safeguard: checkpoint, started: false };
  showTransport();
  for (const id of ["test-error", "epoch", "step", "rate"]) byId(id).textContent = "–";
  say("Starting a new run.");
  engine.start({ settings: flags, compare: run.compare, files, checkpoint, playing });
}

// What the worker's messages do.
const receive = {
  reading({ done, total }) {
    say(`${done} of ${total} pictures are read.`, true);
  },

  started({ adapter, data, probe, lanes, memory }) {
    if (run.safeguard) {
      run.flags = lanes[0].settings;
      settings.fromFlags(run.flags);
      history.replaceState(null, "", settings.address());
    }
    run.lanes.forEach((lane) => lane.destroy());
    run.started = true;
    run.data = data;
    run.probe = probe;
    run.about = lanes;
    run.lanes = lanes.map((about) => new Lane(about, data, probe));
    run.input = inputCard(data, probe, watchSample);
    run.lanes[0].begin(run.input.element);
    run.lanes.slice(1).forEach((lane) => lane.begin(h("li", { class: "block input blank", "aria-hidden": "true" })));
    byId("lanes").replaceChildren(...run.lanes.map((lane) => lane.element));
    byId("adapter").textContent = `Adapter: ${adapter || "WebGPU"}. ${new Intl.NumberFormat("en").format(lanes[0].parameters)} parameters, heads included.`;
    run.watching = null;
    pad.use(data);
    pad.clear();
    votes.begin(lanes, data.classes);
    showErrors(lanes);
    showMemory(memory);
    showTransport();
    say(`Training ${lanes[0].settings.model} on ${data.name}.`);
  },

  progress({ rate, lanes }) {
    lanes.forEach((message, i) => {
      const drawn = run.lanes[i].progress(message);
      if (i > 0 || !drawn) return;
      run.seen = drawn.seen;
    });
    const errors = run.lanes.map((lane) => lane.cards.at(-1).smooth.error);
    if (run.seen !== undefined) run.chart.push(run.seen, [...errors, ...errors.map(() => null)]);
    const [{ epoch, step }] = lanes;
    const [{ steps_per_epoch: steps, epochs }] = run.about;
    byId("epoch").textContent = `${Math.min(epoch, epochs)} of ${epochs}`;
    byId("step").textContent = `${epoch > epochs ? steps : step} of ${steps}`;
    if (rate !== null) byId("rate").textContent = rate < 10 ? rate.toFixed(1) : String(Math.round(rate));
  },

  epoch(message) {
    const index = run.about.findIndex(({ name }) => name === message.lane);
    run.lanes[index].epoch(message);
    const seen = message.train.epoch * run.data.train;
    const tests = run.about.map((_, i) => (i === index ? message.test.error_percent : null));
    run.chart.push(seen, [...run.about.map(() => null), ...tests]);
    if (index === 0) {
      byId("test-error").textContent = percent(message.test.error_percent);
      say(`Epoch ${message.train.epoch}: test error ${percent(message.test.error_percent)}.`);
    }
  },

  view({ lanes }) {
    lanes.forEach((lane, i) => run.lanes[i].view(lane, run.watching === null));
  },

  watched({ lanes }) {
    if (run.watching === null) return;
    lanes.forEach((lane, i) => run.lanes[i].maps(lane));
    votes.show(lanes);
  },

  checkpoint({ why, bytes }) {
    run.safeguard = bytes;
    if (why === "asked") download(bytes, `predsim-${run.flags.model}.safetensors`);
  },

  finished({ epochs }) {
    run.playing = false;
    showTransport();
    say(`The run is finished after ${epochs} epochs.`);
  },

  error({ kind, message }) {
    run.playing = false;
    run.broken = true;
    showTransport();
    explain(kind, message);
  },
};

// ---------------------------------------------------------------- trouble

function explain(kind, message) {
  const { safeguard, flags } = run;
  if (kind === "adapter") return withoutWebGpu();
  if (kind === "memory") {
    const smaller = Math.max(1, Math.floor(flags["batch-size"] / 2));
    return notice(`That does not fit into this GPU: ${message}.`, [`Try a batch of ${smaller}`, () => {
      settings.write({ "batch-size": smaller });
      start();
    }]);
  }
  const again = safeguard
    ? ["Go on from the last checkpoint", () => start({ checkpoint: safeguard })]
    : ["Start again", () => start()];
  if (kind === "lost") return notice(`The browser has lost the GPU (${message}).`, again);
  if (kind === "usage") return notice(message, ["Back to the embedded digits", () => {
    files = NONE;
    settings.write({ dataset: "mnist-mini" });
    start();
  }]);
  return notice(`Training stopped: ${message}`, again);
}

function withoutWebGpu() {
  notice(
    h("div", {},
      h("p", {}, h("b", {}, "This browser gives the page no WebGPU, so nothing can be trained here. ")),
      h("p", {}, "Chrome and Edge have it from version 113 on (Linux: from 144, before that behind chrome://flags/#enable-unsafe-webgpu), Safari from 26, Firefox from 141 on Windows and 145 on Macs. Check that hardware acceleration is switched on in the browser's settings."),
      h("p", {}, "Below is a recorded run instead."),
      h("p", { class: "hint" }, navigator.gpu ? "(The browser knows WebGPU, but offers no adapter.)" : "(navigator.gpu is not there.)"),
    ),
  );
  document.body.classList.add("recorded");
  for (const id of ["play", "single", "reset", "save"]) byId(id).disabled = true;
  byId("error-title").textContent = "Error, epoch by epoch (recorded)";
  const told = ({ epoch, samples_per_second }, test, epochs) => {
    byId("epoch").textContent = `${epoch} of ${epochs}`;
    byId("test-error").textContent = percent(test?.error_percent ?? null);
    byId("rate").textContent = String(Math.round(samples_per_second));
  };
  playRecorded(byId("lanes"), byId("error-chart"), told).catch((error) => notice(`The recorded run could not be loaded: ${error.message}`));
}

// ---------------------------------------------------------------- controls

function showTransport() {
  const ready = Boolean(run?.started) && !run.broken;
  for (const id of ["play", "single", "reset", "save"]) byId(id).disabled = !ready && id !== "reset";
  byId("play").textContent = run?.playing ? "Pause" : "Play";
  document.body.classList.toggle("playing", Boolean(run?.playing) && ready);
}

function play(on) {
  run.playing = on;
  run.engine.send({ type: "play", on });
  showTransport();
  say(on ? "Training." : "Paused.");
}

byId("play").addEventListener("click", () => play(!run.playing));
byId("single").addEventListener("click", () => {
  if (run.playing) play(false);
  run.engine.send({ type: "step" });
});
byId("reset").addEventListener("click", () => start({ playing: run?.playing ?? true }));
byId("save").addEventListener("click", () => run.engine.send({ type: "checkpoint" }));
byId("share").addEventListener("click", async () => {
  const link = new URL(settings.address(), location.href).href;
  try {
    await navigator.clipboard.writeText(link);
    say("The link is copied.", true);
  } catch {
    notice(`The link: ${link}`);
  }
});

settings.onChange(() => start({ playing: true }));
addEventListener("hashchange", () => {
  settings.fromAddress();
  start();
});

// A page that nobody sees does not train.
let hidden = false;
document.addEventListener("visibilitychange", () => {
  if (!run?.started) return;
  if (document.hidden && run.playing) {
    hidden = true;
    play(false);
  } else if (!document.hidden && hidden) {
    hidden = false;
    play(true);
  }
});

// ---------------------------------------------------------------- pictures

const votes = new Votes(byId("votes"));
const pad = new Pad(watch, () => {
  const index = Math.floor(Math.random() * run.probe.pictures.length);
  run.input.none();
  pad.show(run.probe.pictures[index]);
});

// The blocks' maps show this picture from now on, or the mean of the probe again.
function watch(pixels) {
  if (!run?.started) return;
  run.watching = pixels;
  if (pixels) run.input.none();
  else {
    run.input.reset();
    votes.clear();
  }
  run.engine.send({ type: "watch", pixels });
}

function watchSample(index) {
  if (index === null) {
    pad.clear();
    watch(null);
    return;
  }
  pad.show(run.probe.pictures[index]);
  run.input.select(index);
}

function showErrors(lanes) {
  run.chart?.destroy();
  const curves = (split, width) => lanes.map(({ name }) => ({ name: `${name}, ${split}`, colour: `--${name}`, width }));
  run.chart = errorChart(byId("error-chart"), [...curves("training", 1), ...curves("test", 2.4)]);
}

// ---------------------------------------------------------------- files

function download(bytes, name) {
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const link = h("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// Takes what the user gave: a checkpoint to go on from, or the files of a data set.
async function take(list) {
  const checkpoint = list.find(isCheckpoint);
  if (checkpoint) {
    start({ checkpoint: new Uint8Array(await checkpoint.arrayBuffer()), playing: run?.playing ?? true });
    return;
  }
  const found = recognise(list);
  if (!found) {
    notice(`${list.map((file) => file.name).slice(0, 3).join(", ")}: neither a checkpoint (.safetensors), nor a data set's official files, nor a folder of pictures with at least two subfolders, one for each class.`);
    return;
  }
  files = found.files;
  settings.write({ dataset: found.dataset });
  start();
}

byId("open").addEventListener("change", (event) => take([...event.target.files]));
byId("folder").addEventListener("change", (event) => take([...event.target.files]));
dropTarget(document.body, take);

// ---------------------------------------------------------------- opening

settings.fromAddress();
if (matchMedia("(max-width: 760px)").matches) byId("settings-box").open = false;
if (!navigator.gpu) withoutWebGpu();
else start();
