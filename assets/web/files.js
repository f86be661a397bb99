// Files of the user: which data set they are, and how they come in by dropping. They are read in the worker.

export const isCheckpoint = (file) => file.name.endsWith(".safetensors");

const numbered = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => `data_batch_${from + i}.bin`);

// Official files by data set. Where the first file found decides nothing, as with MNIST's relatives, the folder's name does.
const SETS = [
  {
    datasets: [["fashion-mnist", /fashion/i], ["kmnist", /kmnist|kuzushiji/i], ["mnist", /(?:)/]],
    files: ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
  },
  { datasets: [["cifar10", /(?:)/]], files: [...numbered(1, 5), "test_batch.bin"] },
  { datasets: [["cifar100", /(?:)/]], files: ["train.bin", "test.bin"] },
  { datasets: [["svhn", /(?:)/]], files: ["train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"] },
  { datasets: [["stl10", /(?:)/]], files: ["train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"] },
];

// What a page without any has.
export const NONE = { official: [], folder: null };

const plain = (file) => file.name.replace(/\.gz$/, "");
const pathOf = (file) => file.webkitRelativePath || file.name;

// The data set that these files are: its name, and what of it the worker reads; null for files of none.
export function recognise(list) {
  for (const { datasets, files } of SETS) {
    const official = list.filter((file) => files.includes(plain(file)));
    if (official.length === 0) continue;
    const [dataset] = datasets.find(([, path]) => path.test(pathOf(official[0])));
    return { dataset, files: { official, folder: null } };
  }
  const folder = pictureFolder(list);
  return folder && { dataset: "image-folder", files: { official: [], folder } };
}

const PICTURE = /\.(avif|bmp|gif|jpe?g|png|webp)$/i;
const SPLITS = { train: "train", training: "train", val: "test", valid: "test", validation: "test", test: "test" };

// Every so many pictures of a class are for the test, where the folder has no split of its own.
const TEST_EVERY = 5;

// Pictures by split, with the index of their class: the name of the folder that they lie in.
function pictureFolder(list) {
  const pictures = list.filter((file) => PICTURE.test(file.name)).map((file) => {
    const folders = pathOf(file).split("/").slice(0, -1);
    return { file, name: folders.at(-1), split: SPLITS[folders.at(-2)?.toLowerCase()] };
  });
  const own = pictures.some(({ split }) => split === "train") && pictures.some(({ split }) => split === "test");
  const used = pictures.filter(({ name, split }) => name && (!own || split));
  // By path, so that equal folders give equal runs whatever order the browser lists them in.
  used.sort((a, b) => (pathOf(a.file) < pathOf(b.file) ? -1 : 1));
  const classes = [...new Set(used.map(({ name }) => name))].sort();
  if (classes.length < 2) return null;
  const folder = { classes, train: [], test: [] };
  const seen = new Map();
  for (const { file, name, split } of used) {
    const nth = (seen.get(name) ?? 0) + 1;
    seen.set(name, nth);
    folder[own ? split : nth % TEST_EVERY === 0 ? "test" : "train"].push({ file, label: classes.indexOf(name) });
  }
  return folder;
}

// All files in what was dropped, folders walked through.
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files];
  const lists = await Promise.all(entries.map(walk));
  return lists.flat();
}

async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    Object.defineProperty(file, "webkitRelativePath", { value: entry.fullPath.slice(1) });
    return [file];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // A folder is read in parts until one is empty.
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) return found;
    for (const child of part) found.push(...(await walk(child)));
  }
}

export function dropTarget(element, take) {
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("dropping");
  });
  element.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) element.classList.remove("dropping");
  });
  element.addEventListener("drop", async (event) => {
    event.preventDefault();
    element.classList.remove("dropping");
    const list = await dropped(event.dataTransfer);
    if (list.length > 0) take(list);
  });
}
