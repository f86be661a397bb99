// The worker: one run of the engine, from its first step to its last. The page ends the worker and starts another for
// new settings or another data set, so that nothing of the old run stays in memory.
//
// It holds one lane, or two on the same data: local learning and, beside it, backpropagation. What happens next is decided
// between two steps only: `loop` is the one place that calls the engine after the start.

import init, { Device, Run, memory_plans, settings_of_checkpoint } from "./engine/predsim.js";
import { openData } from "./worker-data.js";

// Milliseconds between two reports of the sums, and the share of the time that looking may take.
const REPORT_EVERY = 200;
const LOOKING_SHARE = 0.15;
// Bytes up to which a checkpoint is handed to the page after every epoch, to go on from if the device is lost.
const SAFEGUARD_BYTES = 64e6;

const state = {
  lanes: [],
  data: null,
  probe: new Uint32Array(),
  epochs: 0,
  playing: false,
  steps: 0, // single steps asked for
  watched: null, // a picture that is looked at beside the probe: bytes
  looked: true, // whether that has been done
  wantsCheckpoint: false,
  wake: () => {},
};

self.onmessage = async ({ data: message }) => {
  try {
    await handle[message.type](message);
  } catch (error) {
    fail(error);
  }
  state.wake();
};

const handle = {
  async start(message) {
    await init({ module_or_path: message.module });
    await start(message);
    loop().catch(fail);
  },
  play({ on }) {
    state.playing = on;
  },
  step() {
    state.steps += 1;
  },
  watch({ pixels }) {
    state.watched = pixels;
    state.looked = false;
  },
  checkpoint() {
    state.wantsCheckpoint = true;
  },
};

function fail(error) {
  state.playing = false;
  // What is not one of ours (a panic, a trap) has no kind that the page knows.
  const kinds = ["adapter", "memory", "lost", "usage", "failed"];
  const kind = kinds.includes(error.name) ? error.name : "failed";
  self.postMessage({ type: "error", kind, message: error.message ?? String(error) });
}

async function start({ settings, compare, files, checkpoint, playing }) {
  if (checkpoint) {
    // The network and its data set are the checkpoint's; how long and how fast to go on is the page's.
    const kept = JSON.parse(settings_of_checkpoint(checkpoint));
    // The epochs of a greedy schedule's phases cannot change any more.
    const { lr, epochs } = settings;
    settings = { ...kept, lr, epochs: kept.schedule === "greedy" ? kept.epochs : epochs };
  }
  state.data = await openData(settings, files, reading);
  const device = await Device.open();
  const methods = compare ? [false, true] : [Boolean(settings.backprop)];
  for (const backprop of methods) {
    const own = JSON.stringify({ ...settings, backprop });
    const run = await Run.start(device, state.data, own, checkpoint ?? undefined);
    state.lanes.push({ name: backprop ? "backprop" : "local", run, about: JSON.parse(run.describe()), finished: false });
  }
  const { about } = state.lanes[0];
  state.epochs = about.epochs;
  state.probe = state.data.probe(about.probe);
  state.playing = playing;
  self.postMessage({
    type: "started",
    adapter: device.name(),
    data: JSON.parse(state.data.describe()),
    probe: {
      labels: state.data.labels(state.probe),
      pictures: Array.from(state.probe, (index) => state.data.picture(index)),
    },
    lanes: state.lanes.map(({ name, about }) => ({ name, ...about })),
    memory: JSON.parse(memory_plans(JSON.stringify(settings), state.data)),
  });
  if (!playing) await look();
}

// Tells the page now and then how many pictures of a folder are read.
function reading(done, total) {
  if (done === total || done % 50 === 0) self.postMessage({ type: "reading", done, total });
}

async function loop() {
  const clock = { reported: performance.now(), looked: performance.now(), looking: 0, samples: 0, begun: false };
  for (;;) {
    if (!state.looked) {
      state.looked = true;
      await lookAtWatched();
    }
    if (state.wantsCheckpoint) {
      state.wantsCheckpoint = false;
      await sendCheckpoint("asked");
    }
    const single = state.steps > 0;
    if ((state.playing || single) && !done()) {
      state.steps = Math.max(0, state.steps - 1);
      clock.samples += await stepAll();
      // The page hears of the first step as soon as it is trained.
      await report(clock, single || !clock.begun);
      clock.begun = true;
    } else {
      state.steps = 0;
      // Whoever pauses sees what has been trained until then.
      if (clock.samples > 0) await report(clock, true);
      if (state.looked && !state.wantsCheckpoint) await new Promise((resolve) => (state.wake = resolve));
      clock.reported = performance.now();
      clock.samples = 0;
    }
  }
}

function done() {
  return state.lanes.every((lane) => lane.finished);
}

// One step of every lane; the samples of the first of them.
async function stepAll() {
  let samples = 0;
  for (const lane of state.lanes) {
    if (lane.finished) continue;
    const taken = await lane.run.step();
    if (taken !== undefined) {
      samples = Math.max(samples, taken);
      continue;
    }
    await closeEpoch(lane);
  }
  return samples;
}

async function closeEpoch(lane) {
  const epoch = JSON.parse(await lane.run.close_epoch());
  self.postMessage({ type: "epoch", lane: lane.name, ...epoch });
  lane.finished = epoch.train.epoch >= state.epochs;
  if (lane === state.lanes[0]) await sendCheckpoint("epoch");
  if (done()) {
    state.playing = false;
    self.postMessage({ type: "finished", epochs: state.epochs });
  }
}

// Now and then while it plays; a step that is to be shown at once is waited for.
async function report(clock, atOnce) {
  if (atOnce) {
    for (const lane of state.lanes) await lane.run.settle();
  } else if (performance.now() - clock.reported < REPORT_EVERY) {
    return;
  }
  const now = performance.now();
  const rate = atOnce ? null : (1000 * clock.samples) / (now - clock.reported);
  self.postMessage({ type: "progress", rate, lanes: state.lanes.map(progress) });
  [clock.reported, clock.samples] = [now, 0];
  if (atOnce || clock.looking < LOOKING_SHARE * (now - clock.looked)) {
    await look();
    if (state.watched) await lookAtWatched();
    clock.looked = performance.now();
    clock.looking = clock.looked - now;
  }
}

function progress({ name, run }) {
  return { name, ...JSON.parse(run.progress()) };
}

// What every lane makes of the probe.
async function look() {
  const lanes = [];
  for (const { name, run, about } of state.lanes) {
    const view = await run.look(state.probe);
    const blocks = about.blocks.map((_, index) => ({
      shape: view.shape(index),
      activation: view.activation(index),
      similarity: view.similarity(index),
    }));
    view.free();
    lanes.push({ name, blocks });
  }
  self.postMessage({ type: "view", lanes });
}

// What every lane makes of the one picture that the page asks about, and how each classifier votes.
async function lookAtWatched() {
  const pixels = state.watched;
  const lanes = [];
  for (const { name, run, about } of pixels ? state.lanes : []) {
    const view = await run.look_at(pixels);
    const blocks = about.blocks.map((_, index) => ({ shape: view.shape(index), activation: view.activation(index) }));
    const votes = [...about.blocks, null].map((_, index) => view.votes(index));
    view.free();
    lanes.push({ name, blocks, votes });
  }
  // Another picture may have come meanwhile, or none may be wanted any more.
  if (pixels && pixels === state.watched) self.postMessage({ type: "watched", lanes });
}

async function sendCheckpoint(why) {
  const [{ run, about }] = state.lanes;
  if (why === "epoch" && 16 * about.parameters > SAFEGUARD_BYTES) return;
  const bytes = await run.checkpoint();
  self.postMessage({ type: "checkpoint", why, bytes }, [bytes.buffer]);
}
