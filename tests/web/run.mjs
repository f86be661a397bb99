// The page's tests in one process and one after the other: the software adapter uses every core for one page already.
// An argument is a part of the names of those to run.

import test from "node:test";

import controls from "./controls.mjs";
import fallback from "./fallback.mjs";
import files from "./files.mjs";
import golden from "./golden.mjs";
import learning from "./learning.mjs";

const wanted = process.argv[2] ?? "";
for (const [name, body] of Object.entries({ ...golden, ...learning, ...controls, ...files, ...fallback })) {
  if (!name.includes(wanted)) continue;
  test(name, async (context) => {
    const start = performance.now();
    await body(context);
    console.log(`${name}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  });
}
