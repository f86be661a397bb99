// What the page does where there is no WebGPU.

import assert from "node:assert/strict";

import { launch, open, shot } from "./browser.mjs";

export default {
  async "without WebGPU it says so and shows a recorded run"() {
    const browser = await launch({ webgpu: false });
    try {
      const { page, problems } = await open(browser);
      await page.waitForSelector("#notice:not([hidden])");
      assert.match(await page.textContent("#notice"), /no WebGPU/);
      assert.match(await page.textContent("#notice"), /Chrome and Edge/);
      await page.waitForFunction(() => document.getElementById("epoch").textContent.startsWith("3 of"));
      assert.match(await page.textContent(".lane"), /Recorded run/);
      assert.match(await page.textContent("#test-error"), /^\d+\.\d+ %$/);
      assert.equal(await page.locator(".lane .block").count(), 6);
      await shot(page, "recorded");
      assert.deepEqual(problems, []);
    } finally {
      await browser.close();
    }
  },
};
