// The page's side of the worker.

let module = null;

// The engine's code, compiled once for all workers.
function compiled() {
  module ??= WebAssembly.compileStreaming(fetch(new URL("./engine/predsim_bg.wasm", import.meta.url))).catch((error) => {
    // A start that comes later loads it anew.
    module = null;
    throw error;
  });
  return module;
}

// A worker with one run. `listener` gets its messages; none come after `end`.
export class Engine {
  constructor(listener) {
    this.listener = listener;
    this.worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => this.listener?.(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      const message = event.message || "the worker's code could not be loaded";
      this.listener?.({ type: "error", kind: "failed", message });
    };
  }

  async start(options) {
    try {
      const module = await compiled();
      this.worker.postMessage({ type: "start", module, ...options });
    } catch (error) {
      this.listener?.({ type: "error", kind: "failed", message: `the engine could not be loaded (${error.message})` });
    }
  }

  send(message) {
    this.worker.postMessage(message);
  }

  end() {
    this.listener = null;
    this.worker.terminate();
  }
}
