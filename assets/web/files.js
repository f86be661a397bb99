// Files of the user: which data set they are, and how they come in by dropping.

export const isCheckpoint = (file) => file.name.endsWith(".safetensors");

const SETS = [
  {
    dataset: "mnist",
    files: ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
  },
];

const plain = (file) => file.name.replace(/\.gz$/, "");

// The data set that these files belong to, and those of them that it needs.
export function dataFiles(list) {
  for (const { dataset, files } of SETS) {
    const found = list.filter((file) => files.includes(plain(file)));
    if (found.length > 0) return { dataset, files: found };
  }
  return null;
}

export async function readAll(list) {
  const contents = await Promise.all(list.map(async (file) => new Uint8Array(await file.arrayBuffer())));
  return { names: list.map((file) => file.name), contents };
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
