// What the page learns: as the native program does, and well enough to read what is drawn.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { SMALL, launch, message, messages, open, shot } from "./browser.mjs";
import { evaluate, scratch, train } from "./native.mjs";

export default {
  async "the losses of the first 20 steps are the native program's"() {
    // Epochs of one step each, so that every step has its line. All else is the page's default network.
    const few = { "limit-train": 32, "limit-test": 16, epochs: 20 };
    const browser = await launch();
    try {
      const { page, problems } = await open(browser, few);
      const { lanes } = await message(page, (m) => m.type === "started");
      const started = await message(page, (m) => m.type === "progress");
      console.log(`opening to the first trained step: ${Math.round(started.at)} ms`);
      await message(page, (m) => m.type === "finished");
      const ours = (await messages(page, "epoch")).map(({ train }) => train);
      const given = lanes[0].settings;
      const flags = Object.fromEntries(
        ["dataset", "model", "feat-mult", "num-layers", "num-hidden", "dim-in-decoder", "loss-sup", "lr", "lr-decay-milestones", "batch-size", "seed"].map((name) => [name, given[name]]),
      );
      const native = train({ ...flags, ...few }).filter(({ split }) => split === "train");
      assert.equal(ours.length, 20);
      let worst = 0;
      for (const [i, row] of native.entries()) {
        const pairs = [[ours[i].loss_global, row.loss_global]];
        row.blocks.forEach((block, b) => pairs.push([ours[i].blocks[b].loss_pred, block.loss_pred], [ours[i].blocks[b].loss_sim, block.loss_sim]));
        for (const [ours, theirs] of pairs) {
          assert.ok(Number.isFinite(ours) && Number.isFinite(theirs));
          worst = Math.max(worst, Math.abs(ours - theirs));
        }
      }
      console.log(`largest difference of a loss in 20 steps: ${worst.toExponential(1)}`);
      assert.ok(worst <= 1e-3, `a loss is off by ${worst}`);
      await shot(page, "default");
      assert.deepEqual(problems, []);
    } finally {
      await browser.close();
    }
  },

  async "it learns the digits, reads a drawn 1, and its checkpoint is the native program's"() {
    const browser = await launch();
    try {
      const { page, problems } = await open(browser, SMALL);
      await message(page, (m) => m.type === "finished");
      await report(page);
      const own = (await messages(page, "epoch")).at(-1).test.error_percent;
      assert.ok(own < 10, `the test error is ${own} %`);
      await shot(page, "trained");

      await draw(page, [[0.52, 0.15], [0.5, 0.5], [0.48, 0.85]]);
      await page.waitForFunction(() => /The network says \d/.test(document.querySelector("#votes caption").textContent));
      assert.match(await page.textContent("#votes caption"), /The network says 1\./);
      assert.match(await page.textContent("#votes caption"), /of 2 blocks agree/);
      await shot(page, "drawn");

      const path = `${scratch()}/page.safetensors`;
      const saved = await save(page, path);
      const native = evaluate(path);
      console.log(`test error in the page ${own} %, by the native program ${native} %`);
      // Another adapter rounds otherwise, which may turn one picture of 1,000.
      assert.ok(Math.abs(own - native) < 0.15, `${own} % in the page, ${native} % natively`);

      // It is taken back and given out again: the same bytes.
      await page.setInputFiles("#open", path);
      await page.waitForFunction(() => window.seen.messages.filter((m) => m.type === "started").length === 2);
      assert.equal(await page.inputValue("select[name=model]"), "mlp");
      assert.ok(saved.equals(await save(page, `${path}.again`)), "the checkpoint changed on its way through the page");
      assert.deepEqual(problems, []);
    } finally {
      await browser.close();
    }
  },
};

// Downloads the checkpoint.
async function save(page, path) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
  await download.saveAs(path);
  return readFileSync(path);
}

async function draw(page, points) {
  await page.locator("#pad").scrollIntoViewIfNeeded();
  const box = await page.locator("#pad").boundingBox();
  const [first, ...rest] = points.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
  await page.mouse.move(...first);
  await page.mouse.down();
  for (const point of rest) await page.mouse.move(...point, { steps: 8 });
  await page.mouse.up();
}

// What the page did while it trained: measured and said, not judged, because other programs share the machine.
async function report(page) {
  const rates = (await messages(page, "progress")).map(({ rate }) => rate).filter((rate) => rate !== null).sort((a, b) => a - b);
  const blocked = await page.evaluate(() => {
    const begun = window.seen.messages.find(({ type }) => type === "progress").at;
    return window.seen.blocked.filter(({ at }) => at > begun).map((task) => task.for);
  });
  console.log(`pictures a second while training: ${Math.round(rates[Math.floor(rates.length / 2)])} (median of ${rates.length} reports)`);
  console.log(`longest time that the main thread was blocked while training: ${Math.round(Math.max(0, ...blocked))} ms`);
}
