// The worker's data set: embedded, from official files, or from a folder of pictures, which the browser decodes.

import { Data } from "./engine/predsim.js";

// Pictures of a folder are made as large as the first of them, but no side larger than this unless `image-size` says so.
const LARGEST_SIDE = 64;
// Bytes of all pictures at most: they are in memory twice while they are handed over.
const MOST_BYTES = 1 << 30;

// `files`: what files.js recognised. `told` gets the number of pictures that are read, and of how many.
export async function openData(settings, { official, folder }, told) {
  const json = JSON.stringify(settings);
  if (settings.dataset === "image-folder") {
    if (!folder) throw usage("these settings want a folder of pictures: open or drop one, with a subfolder for each class");
    return fromFolder(json, settings["image-size"], folder, told);
  }
  if (settings.dataset !== "mnist-mini" && official.length === 0) {
    throw usage(`these settings want the official files of ${settings.dataset}: open or drop them, gzipped or not`);
  }
  const contents = await Promise.all(official.map(async (file) => new Uint8Array(await file.arrayBuffer())));
  return Data.open(json, official.map((file) => file.name), contents);
}

function usage(message) {
  return Object.assign(new Error(message), { name: "usage" });
}

async function fromFolder(json, wanted, { classes, train, test }, told) {
  const [height, width] = wanted ? sides(wanted) : await sizeOf(train[0]?.file ?? test[0].file);
  const total = train.length + test.length;
  if (3 * height * width * total > MOST_BYTES) {
    throw usage(`${total} pictures of ${height}×${width} are more than the page can hold; name a smaller size with image-size in the address`);
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  let done = 0;
  const split = async (pictures) => {
    const bytes = new Uint8Array(3 * height * width * pictures.length);
    for (const [i, { file }] of pictures.entries()) {
      bytes.set(await decode(file, context), 3 * height * width * i);
      told((done += 1), total);
    }
    return [bytes, Uint32Array.from(pictures, ({ label }) => label)];
  };
  return Data.of_pictures(json, classes, height, width, ...(await split(train)), ...(await split(test)));
}

// 32, or "24x32" for 24 rows and 32 columns.
function sides(size) {
  const [height, width] = String(size).split("x").map(Number);
  if (!(height > 0) || (width !== undefined && !(width > 0))) throw usage("a size is written 224, or 160x224 for 160 rows and 224 columns");
  return [height, width ?? height];
}

async function sizeOf(file) {
  const picture = await bitmap(file);
  const scale = Math.min(1, LARGEST_SIDE / Math.max(picture.height, picture.width));
  const size = [picture.height, picture.width].map((side) => Math.max(1, Math.round(scale * side)));
  picture.close();
  return size;
}

async function bitmap(file) {
  try {
    return await createImageBitmap(file);
  } catch (error) {
    throw usage(`${file.webkitRelativePath || file.name}: is not a picture that this browser can read (${error.message})`);
  }
}

// Red, green and blue of the picture's middle, resized to cover the canvas.
async function decode(file, context) {
  const { height, width } = context.canvas;
  const picture = await bitmap(file);
  const scale = Math.max(width / picture.width, height / picture.height);
  const [w, h] = [width / scale, height / scale];
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, (picture.width - w) / 2, (picture.height - h) / 2, w, h, 0, 0, width, height);
  picture.close();
  const { data } = context.getImageData(0, 0, width, height);
  return data.filter((_, i) => i % 4 !== 3);
}
