// Numbers as pictures: activations on a ramp from dark to light, similarities on one that has another colour below zero.

const RAMP = [[16, 20, 32], [20, 71, 96], [32, 152, 138], [154, 214, 133], [253, 240, 178]];
const BELOW = [[16, 20, 32], [74, 66, 150], [150, 130, 226]];

const tables = [RAMP, BELOW].map((stops) => {
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    for (let c = 0; c < 3; c++) table[3 * i + c] = stops[low][c] + (at - low) * (stops[low + 1][c] - stops[low][c]);
  }
  return table;
});

// Puts values from -1 to 1 into RGBA bytes.
function colour(values, rgba) {
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    const table = tables[value < 0 ? 1 : 0];
    const at = 3 * Math.round(255 * Math.min(1, Math.abs(value)));
    rgba[4 * i] = table[at];
    rgba[4 * i + 1] = table[at + 1];
    rgba[4 * i + 2] = table[at + 2];
    rgba[4 * i + 3] = 255;
  }
}

function put(canvas, width, height, values) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const image = new ImageData(width, height);
  colour(values, image.data);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// A matrix [side, side] of values from -1 to 1.
export function paintMatrix(canvas, side, values) {
  put(canvas, side, side, values);
}

// Most maps of a block that are shown.
const MOST_MAPS = 16;

// Columns and rows of the grid that shows a block of this shape, the cells' extent and how many there are.
export function grid([h, w, c]) {
  if (h * w === 1) {
    // Units of a dense block, one pixel each.
    const columns = Math.min(c, 2 ** Math.ceil(Math.log2(Math.sqrt(2 * c))));
    return { columns, rows: Math.ceil(c / columns), height: 1, width: 1, count: c, gap: 0 };
  }
  const count = Math.min(c, MOST_MAPS);
  const columns = Math.min(count, 4);
  return { columns, rows: Math.ceil(count / columns), height: h, width: w, count, gap: Math.max(1, Math.round(w / 14)) };
}

// Maps `[H, W, C]` as a grid of pictures, each as bright as its own largest value allows; a dense block's units together.
export function paintMaps(canvas, [h, w, c], values) {
  const { columns, rows, count, gap } = grid([h, w, c]);
  const width = columns * (w + gap) - gap;
  const height = rows * (h + gap) - gap;
  const whole = h * w === 1 ? largest(values, 0, 1) : 0;
  const picture = new Float32Array(width * height);
  for (let map = 0; map < count; map++) {
    const peak = whole || largest(values, map, c);
    const top = Math.floor(map / columns) * (h + gap);
    const left = (map % columns) * (w + gap);
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) picture[(top + y) * width + left + x] = values[(y * w + x) * c + map] / peak;
    }
  }
  put(canvas, width, height, picture);
  if (gap > 0) clearGaps(canvas, columns, rows, w, h, gap);
}

function largest(values, from, stride) {
  let peak = 1e-6;
  for (let i = from; i < values.length; i += stride) peak = Math.max(peak, values[i]);
  return peak;
}

function clearGaps(canvas, columns, rows, w, h, gap) {
  const context = canvas.getContext("2d");
  for (let column = 1; column < columns; column++) context.clearRect(column * (w + gap) - gap, 0, gap, canvas.height);
  for (let row = 1; row < rows; row++) context.clearRect(0, row * (h + gap) - gap, canvas.width, gap);
}

// A picture of the data set, bytes [H, W, C] with one channel or three.
export function paintSample(canvas, height, width, channels, bytes) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[channels === 1 ? i : channels * i + c];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// The labels' matrix: the cosine of two centred one-hot vectors is 1 in one class and -1 / (K - 1) in two.
export function labelsMatrix(labels, classes) {
  const side = labels.length;
  const values = new Float32Array(side * side);
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) values[i * side + j] = labels[i] === labels[j] ? 1 : -1 / (classes - 1);
  }
  return values;
}
