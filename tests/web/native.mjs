// The native program, for comparison.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { binary } from "./browser.mjs";

export const scratch = () => mkdtempSync(join(tmpdir(), "predsim-web-"));

// Trains with flags as the page's address has them; returns the lines of metrics.jsonl.
export function train(settings) {
  const out = join(scratch(), "run");
  const values = (value) => (Array.isArray(value) ? value.map(String) : [String(value)]);
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, ...values(value)]);
  execFileSync(binary, ["train", ...flags, "--out", out], { stdio: ["ignore", "ignore", "inherit"] });
  return readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
}

// Test error of a checkpoint in percent.
export function evaluate(path) {
  return JSON.parse(execFileSync(binary, ["eval", path, "--json"], { encoding: "utf8" })).error_percent;
}
