// The canvas to draw a digit on, and the blocks' votes about it.

import { byId, h } from "./dom.js";
import { paintSample } from "./pictures.js";

// MNIST's digits fill a box of 20 pixels and lie with their centre of mass in the middle of the picture.
const BOX = 20;

// `changed` gets the picture's bytes [H, W, C], or null when it is cleared; `example` is asked for a test picture.
export class Pad {
  constructor(changed, example) {
    Object.assign(this, { changed, data: null, drawing: false, empty: true, waiting: false });
    this.canvas = byId("pad");
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.clear();
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => (this.drawing = false));
    byId("clear").addEventListener("click", () => {
      this.clear();
      this.changed(null);
    });
    byId("example").addEventListener("click", example);
  }

  // From now on pictures are those of this data set.
  use(data) {
    this.data = data;
  }

  clear() {
    this.empty = true;
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.canvas.classList.add("empty");
  }

  // Shows a picture of the data set instead of a drawing.
  show(picture) {
    const small = h("canvas", {});
    paintSample(small, this.data.height, this.data.width, this.data.channels, picture);
    this.clear();
    this.canvas.classList.remove("empty");
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(small, 0, 0, this.canvas.width, this.canvas.height);
    this.changed(picture);
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.drawing = true;
    this.at = this.place(event);
    this.line(this.at);
  }

  move(event) {
    if (!this.drawing) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) this.line(this.place(each));
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  line(to) {
    const { context } = this;
    this.empty = false;
    this.canvas.classList.remove("empty");
    context.strokeStyle = "#fff";
    context.lineWidth = 0.075 * this.canvas.width;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...this.at);
    context.lineTo(...to);
    context.stroke();
    this.at = to;
    // Many moves make one frame, and one question.
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.data && !this.empty) this.changed(this.bytes());
    });
  }

  // The drawing as the data set would have it.
  bytes() {
    const { height, width, channels } = this.data;
    const small = new OffscreenCanvas(width, height);
    const context = small.getContext("2d");
    context.fillRect(0, 0, width, height);
    const ink = this.ink();
    if (ink) {
      const scale = (BOX / 28) * Math.min(width, height) / Math.max(ink.right - ink.left, ink.bottom - ink.top);
      context.imageSmoothingQuality = "high";
      context.translate(width / 2 - scale * ink.x, height / 2 - scale * ink.y);
      context.scale(scale, scale);
      context.drawImage(this.canvas, 0, 0);
    }
    const { data } = context.getImageData(0, 0, width, height);
    return Uint8Array.from({ length: height * width * channels }, (_, i) => data[4 * Math.floor(i / channels) + (i % channels)]);
  }

  // Box and centre of mass of what is drawn.
  ink() {
    const { width, height } = this.canvas;
    const { data } = this.context.getImageData(0, 0, width, height);
    const box = { left: width, right: 0, top: height, bottom: 0 };
    let [mass, x, y] = [0, 0, 0];
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const value = data[4 * (row * width + column)];
        if (value < 32) continue;
        box.left = Math.min(box.left, column);
        box.right = Math.max(box.right, column + 1);
        box.top = Math.min(box.top, row);
        box.bottom = Math.max(box.bottom, row + 1);
        mass += value;
        x += value * (column + 0.5);
        y += value * (row + 0.5);
      }
    }
    // A dot is not blown up to fill the box.
    const least = 0.25 * width;
    if (mass === 0) return null;
    return { ...box, right: Math.max(box.right, box.left + least), x: x / mass, y: y / mass };
  }
}

// The table of votes: a row a classifier, a column a class.
export class Votes {
  constructor(element) {
    this.element = element;
  }

  // `lanes`: what the worker says of the runs.
  begin(lanes, classes) {
    this.classes = classes;
    this.rows = lanes.flatMap(({ name, blocks }) => {
      const titles = [...blocks.map((block) => (block.pred ? block.name : null)), "output"];
      return titles.map((title, index) => ({ lane: name, index, title })).filter(({ title }) => title !== null);
    });
    for (const row of this.rows) {
      row.cells = classes.map(() => h("td", {}));
      const shown = lanes.length > 1 && row.lane === "backprop" ? "backprop" : row.title;
      row.element = h("tr", { class: `${row.lane}${row.title === "output" ? " output" : ""}` }, h("th", { scope: "row" }, shown), ...row.cells);
    }
    const head = h("tr", {}, h("td", {}), ...classes.map((name) => h("th", { scope: "col" }, name)));
    this.caption = h("caption", { "aria-live": "polite" }, "No digit drawn yet.");
    this.element.replaceChildren(
      h("table", { class: "votes" }, this.caption, h("thead", {}, head), h("tbody", {}, ...this.rows.map((row) => row.element))),
    );
  }

  show(lanes) {
    for (const row of this.rows) {
      const votes = lanes.find(({ name }) => name === row.lane)?.votes[row.index];
      const best = votes ? votes.indexOf(Math.max(...votes)) : -1;
      row.cells.forEach((cell, i) => {
        const share = votes ? votes[i] : 0;
        cell.style.setProperty("--share", share.toFixed(3));
        cell.classList.toggle("best", i === best);
        cell.textContent = votes && (share >= 0.05 || i === best) ? String(Math.round(100 * share)) : "";
      });
      row.best = best;
    }
    this.caption.textContent = this.sentence();
  }

  // "The network says 3. 4 of 5 blocks agree."
  sentence() {
    const [output] = this.rows.filter((row) => row.title === "output");
    if (output.best < 0) return "No digit drawn yet.";
    const blocks = this.rows.filter((row) => row.lane === output.lane && row !== output);
    const agree = blocks.filter((row) => row.best === output.best).length;
    const others = blocks.length > 0 ? ` ${agree} of ${blocks.length} blocks agree.` : "";
    return `The network says ${this.classes[output.best]}.${others}`;
  }

  clear() {
    if (this.rows) this.show([]);
  }
}
