// The golden cases in the browser: the native runner's own code, compiled to WebAssembly, on the browser's adapter.

import assert from "node:assert/strict";

import { address, launch } from "./browser.mjs";

export default {
  async "golden cases pass in the browser"() {
    const list = await (await fetch(`${address}golden/cases.txt`)).text();
    const names = list.split("\n").filter(Boolean);
    if (names.length === 0) {
      console.log("SKIPPED: no golden cases: neither ../shared/golden nor tests/golden is there");
      return;
    }
    const browser = await launch();
    try {
      const page = await browser.newPage();
      await page.goto(`${address}golden/index.html`);
      const failures = [];
      for (const name of names) {
        const { line, failure } = await page.evaluate(run, name);
        console.log(line ?? `${name}: FAILED\n${failure}`);
        if (failure) failures.push(name);
      }
      assert.deepEqual(failures, []);
    } finally {
      await browser.close();
    }
  },
};

// In the page: one case, with one device for all.
async function run(name) {
  try {
    const { default: init, Runner } = await import("./engine/golden_web.js");
    window.runner ??= init({ module_or_path: new URL("./engine/golden_web_bg.wasm", location.href) }).then(() => Runner.open());
    const runner = await window.runner;
    const file = async (ending) => {
      const answer = await fetch(`./${name}.${ending}`);
      if (!answer.ok) throw new Error(`${name}.${ending}: ${answer.status}`);
      return answer;
    };
    const json = await (await file("json")).text();
    const numbers = new Uint8Array(await (await file("safetensors")).arrayBuffer());
    return { line: await runner.run(name, json, numbers) };
  } catch (error) {
    return { failure: String(error?.message ?? error) };
  }
}
