// The page's controls: pause, step, reset, the link, both methods side by side, other sizes and colours.

import assert from "node:assert/strict";

import { SMALL, launch, message, messages, open, shot } from "./browser.mjs";

const ENDLESS = { ...SMALL, epochs: 1000 };

export default {
  async "pause, step and reset"() {
    await withPage(ENDLESS, {}, async (page) => {
      await message(page, (m) => m.type === "progress" && m.lanes[0].step > 3);
      await page.focus("#play");
      await page.keyboard.press("Enter");
      assert.equal(await page.textContent("#play"), "Play");
      // What was on its way when it paused arrives; then nothing more does.
      const [epoch, step] = await settled(page);
      await page.click("#single");
      await page.waitForFunction(([epoch, step]) => {
        const [last] = window.seen.messages.filter(({ type }) => type === "progress").at(-1).lanes;
        return last.epoch === epoch && last.step === step + 1;
      }, [epoch, step]);
      assert.deepEqual(await settled(page), [epoch, step + 1]);
      await page.click("#reset");
      await page.waitForFunction(() => window.seen.messages.filter(({ type }) => type === "started").length === 2);
      assert.equal(await page.textContent("#step"), "–");
      await page.click("#single");
      await page.waitForFunction(() => document.getElementById("step").textContent.startsWith("1 of"));
      await page.click("#play");
      await page.waitForFunction(() => Number.parseInt(document.getElementById("step").textContent, 10) > 3);
    });
  },

  async "the link holds the settings"() {
    await withPage({ ...ENDLESS, signal: "sim", seed: 7 }, {}, async (page) => {
      const { lanes } = await message(page, (m) => m.type === "started");
      assert.equal(lanes[0].settings["loss-sup"], "sim");
      assert.equal(lanes[0].settings.seed, 7);
      assert.equal(lanes[0].settings["num-layers"], 2);
      await page.selectOption("select[name=batch-size]", "64");
      await page.waitForFunction(() => window.seen.messages.filter(({ type }) => type === "started").length === 2);
      const link = new URLSearchParams(new URL(page.url()).hash.slice(1));
      assert.deepEqual([link.get("batch-size"), link.get("signal"), link.get("seed")], ["64", "sim", "7"]);
      await page.reload();
      const again = await message(page, (m) => m.type === "started");
      assert.equal(again.lanes[0].settings["batch-size"], 64);
      assert.equal(await page.isChecked("input[value=sim]"), true);
    });
  },

  async "backprop beside local, in the dark, on a phone"() {
    await withPage({ ...ENDLESS, compare: true }, { scheme: "dark", width: 390, height: 844 }, async (page) => {
      const { lanes, memory } = await message(page, (m) => m.type === "started");
      assert.deepEqual(lanes.map(({ name }) => name), ["local", "backprop"]);
      assert.ok(memory.local.activations > 0 && memory.backprop.activations > 0);
      await message(page, (m) => m.type === "progress" && m.lanes.every(({ step }) => step > 2));
      assert.equal(await page.locator(".lane").count(), 2);
      assert.equal(await page.locator("#memory .memory-row").count(), 2);
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wider <= 0, `the page is ${wider} pixels wider than the screen`);
      await shot(page, "phone");
    });
  },

  async "every control has a name"() {
    await withPage(ENDLESS, {}, async (page) => {
      await message(page, (m) => m.type === "started");
      const nameless = await page.evaluate(() => {
        const named = (e) => e.textContent.trim() || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || [...(e.labels ?? [])].some((label) => label.textContent.trim());
        return [...document.querySelectorAll("button, input, select, canvas[role=img]")].filter((e) => !named(e)).map((e) => e.outerHTML);
      });
      assert.deepEqual(nameless, []);
    });
  },

  async "a lost device is said, and gone on from the last checkpoint"() {
    await withPage({ ...ENDLESS, "limit-train": 640 }, { worker: keepDevice }, async (page) => {
      await message(page, (m) => m.type === "checkpoint");
      await page.workers()[0].evaluate(() => self.keptDevice.destroy());
      await page.waitForSelector("#notice:not([hidden])");
      assert.match(await page.textContent("#notice"), /lost the GPU/);
      await page.click("#notice .primary");
      const begun = await message(page, (m, i, all) => m.type === "progress" && all.slice(0, i).filter(({ type }) => type === "started").length === 2);
      // Epochs here are of 20 steps, so the device may be lost some epochs after the first.
      assert.ok(begun.lanes[0].epoch > 1 && begun.lanes[0].step === 1, JSON.stringify(begun.lanes[0]));
    });
  },

  async "wrong settings are said, and led back from"() {
    await withPage({ dataset: "cifar10" }, {}, async (page) => {
      await page.waitForSelector("#notice:not([hidden])");
      assert.match(await page.textContent("#notice"), /official files of cifar10/);
      await page.click("#notice .primary");
      await message(page, (m) => m.type === "started");
      assert.equal(await page.isHidden("#notice"), true);
    });
  },
};

async function withPage(settings, options, body) {
  const browser = await launch();
  try {
    const { page, problems } = await open(browser, settings, options);
    await body(page);
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
  }
}

// In the worker, before it asks for its device: keeps it where a test finds it.
function keepDevice() {
  const plain = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...options) {
    self.keptDevice = await plain.apply(this, options);
    return self.keptDevice;
  };
}

// Epoch and step once no more reports come.
async function settled(page) {
  let count = -1;
  for (;;) {
    const reports = await messages(page, "progress");
    if (reports.length === count) return [reports.at(-1).lanes[0].epoch, reports.at(-1).lanes[0].step];
    count = reports.length;
    await page.waitForTimeout(1500);
  }
}
