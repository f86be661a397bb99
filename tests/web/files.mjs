// Data sets of the user: a folder of pictures, and official files.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { SMALL, launch, message, open } from "./browser.mjs";
import { scratch } from "./native.mjs";

export default {
  async "a folder of pictures becomes a data set"() {
    const folder = join(scratch(), "fruit");
    for (const [name, colour] of [["apple", [200, 30, 20]], ["plum", [60, 20, 160]]]) {
      mkdirSync(join(folder, name), { recursive: true });
      for (let i = 0; i < 10; i++) writeFileSync(join(folder, name, `${i}.bmp`), bmp(12, colour.map((value) => value + i)));
    }
    await give("#folder", folder, async (page) => {
      const { data } = await message(page, (m) => m.type === "started" && m.data.name === "image-folder");
      assert.deepEqual(data.classes, ["apple", "plum"]);
      assert.deepEqual([data.height, data.width, data.channels, data.train, data.test], [12, 12, 3, 16, 4]);
      const { test } = await message(page, (m) => m.type === "epoch" && m.test.error_percent === 0);
      assert.equal(test.samples, 4);
    });
  },

  async "official files become a data set"() {
    const folder = scratch();
    const paths = [["train", 40], ["t10k", 20]].flatMap(([split, n]) => [
      write(folder, `${split}-images-idx3-ubyte`, [0x803, n, 28, 28], Array.from({ length: n * 784 }, (_, i) => (i * 7) % 256)),
      write(folder, `${split}-labels-idx1-ubyte`, [0x801, n], Array.from({ length: n }, (_, i) => i % 10)),
    ]);
    await give("#open", paths, async (page) => {
      const { data } = await message(page, (m) => m.type === "started" && m.data.name === "mnist");
      assert.deepEqual([data.train, data.test], [40, 20]);
    });
  },
};

// Opens the page, gives it files by the input `selector`, and waits for what comes of it.
async function give(selector, paths, body) {
  const browser = await launch();
  try {
    const { page, problems } = await open(browser, { ...SMALL, epochs: 20, "batch-size": 16 });
    await message(page, (m) => m.type === "started");
    await page.setInputFiles(selector, paths);
    await body(page);
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
  }
}

// A picture of one colour: 24 bits a pixel, rows of a multiple of four bytes.
function bmp(side, [red, green, blue]) {
  const head = Buffer.alloc(54);
  head.write("BM");
  head.writeUInt32LE(54 + 3 * side * side, 2);
  head.writeUInt32LE(54, 10);
  head.writeUInt32LE(40, 14);
  head.writeInt32LE(side, 18);
  head.writeInt32LE(side, 22);
  head.writeUInt16LE(1, 26);
  head.writeUInt16LE(24, 28);
  return Buffer.concat([head, Buffer.from(Array.from({ length: side * side }, () => [blue, green, red]).flat())]);
}

function write(folder, name, header, values) {
  const head = Buffer.alloc(4 * header.length);
  header.forEach((value, i) => head.writeUInt32BE(value, 4 * i));
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([head, Buffer.from(values)]));
  return path;
}
