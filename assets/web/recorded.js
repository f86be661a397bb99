// A recorded run for browsers without WebGPU: the lines of a real metrics.jsonl, as `predsim train` wrote them.

export async function playRecorded(element) {
  const answer = await fetch(new URL("./recorded/metrics.jsonl", import.meta.url));
  const rows = (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
  element.textContent = `${rows.length} rows`;
}
