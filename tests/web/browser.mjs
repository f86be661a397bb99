// Chromium for the tests: how it is started, how the page is opened, and what is noted while it runs.

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const env = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: these tests are run by \`cargo xtask web --test\``);
  return value;
};

export const address = env("PREDSIM_PAGE");
export const binary = env("PREDSIM_BINARY");
const shots = env("PREDSIM_SHOTS");
mkdirSync(shots, { recursive: true });

const { chromium } = await import(pathToFileURL(env("PREDSIM_PLAYWRIGHT")));

// A browser with WebGPU by its software adapter, or with none.
export function launch({ webgpu = true } = {}) {
  const flags = webgpu ? ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"] : ["--disable-features=WebGPU,WebGPUService"];
  return chromium.launch({ executablePath: which(env("PREDSIM_BROWSER")), headless: true, args: ["--no-sandbox", ...flags] });
}

function which(name) {
  const folders = process.env.PATH.split(":");
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? name;
}

// Runs in the page before its own scripts: keeps the worker's messages, without pictures and checkpoints, and notes when the main
// thread was blocked.
function watch() {
  window.seen = { messages: [], blocked: [] };
  const Plain = Worker;
  window.Worker = class extends Plain {
    constructor(...options) {
      super(...options);
      this.addEventListener("message", ({ data }) => {
        if (data.type === "view" || data.type === "watched") return;
        const { probe, bytes, ...kept } = data;
        window.seen.messages.push({ at: performance.now(), ...kept });
      });
    }
  };
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) window.seen.blocked.push({ at: startTime, for: duration });
  });
  observer.observe({ type: "longtask", buffered: true });
}

// The page with settings in its address; `worker`, a function, runs in each of its workers. `problems` are errors in the console and uncaught ones.
export async function open(browser, settings = {}, { scheme = "light", width = 1440, height = 1000, worker = null } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, acceptDownloads: true });
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  await page.addInitScript(watch);
  if (worker) {
    await page.route("**/worker.js", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: `${await response.text()}\n(${worker})();` });
    });
  }
  page.setDefaultTimeout(240_000);
  await page.goto(`${address}#${new URLSearchParams(settings)}`);
  return { page, problems, close: () => context.close() };
}

// Waits for the first message that `test`, a function of a message, accepts; returns it.
export async function message(page, test) {
  const found = await page.waitForFunction(`window.seen.messages.find(${test})`, null, { polling: 100 });
  return found.jsonValue();
}

export const messages = (page, type) => page.evaluate((type) => window.seen.messages.filter((m) => m.type === type), type);

export const shot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });

// A small dense network that learns in seconds also without a GPU.
export const SMALL = { model: "mlp", "num-layers": 2, "num-hidden": 128, lr: 0.003, "batch-size": 32, epochs: 3, "lr-decay-milestones": "[]" };
