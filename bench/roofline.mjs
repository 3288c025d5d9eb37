// @ts-check
// The machine's limits and how near to them the kernels come: npm run bench:roofline
import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { DEFAULTS } from "../dist/engine/options.js";
import { describeHardware } from "./lib/hardware.mjs";
import { revision } from "./lib/revision.mjs";
import { attentionTable, kernelTable, limitTable, parseRoofline, zoneTable } from "./lib/roofline-report.mjs";

const BUILD = fileURLToPath(new URL("../build/native", import.meta.url));
const RESULTS = new URL("results/", import.meta.url);
const SETTINGS = /** @type {const} */ ([
  "retrievalBudget",
  "estimationBudget",
  "minClusters",
  "varianceTerm",
  "segmentTokens",
  "localWindow",
  "sinkTokens",
  "clusterIterations",
  "tokensPerCluster",
  "maxClusterSize",
]);

execFileSync("cmake", ["--build", BUILD, "--target", "bench_roofline"], { stdio: ["ignore", "ignore", "inherit"] });
const settings = SETTINGS.map((name) => [name, DEFAULTS[name]]);
const output = execFileSync(`${BUILD}/bench_roofline`, ["all", ...settings.map(([, value]) => String(value))], {
  encoding: "utf8",
  stdio: ["ignore", "pipe", "inherit"],
});
const roofline = parseRoofline(output);
const run = {
  date: new Date().toISOString().slice(0, 10),
  hardware: describeHardware(),
  revision: revision(),
  settings: Object.fromEntries(settings),
  ...roofline,
};
const report = rooflineReport();
await mkdir(RESULTS, { recursive: true });
await writeFile(new URL("roofline.json", RESULTS), `${JSON.stringify(run, null, 1)}\n`);
await writeFile(new URL("roofline.md", RESULTS), report);
process.stdout.write(`${report}\nbench/results/roofline.md and .json\n`);

function rooflineReport() {
  const { hardware, limits, kernels, attention } = run;
  return `# Roofline

### Limits

${limitTable(limits)}

### Kernels

${kernelTable(kernels, limits)}

### Attention alone

One layer, one decode token: 8 KV heads, 32 query heads, head dim 128, 2 threads.

${attentionTable(attention)}

Where wave's bytes, time and attention mass are:

${zoneTable(attention)}

- Hardware: ${hardware.cpu}, ${hardware.numCpus} CPUs, ${hardware.memoryGiB} GiB, SIMD level ${hardware.simdLevel}; ${hardware.system}.
- Date: ${run.date}; sources ${run.revision}. Medians; every seed is fixed. Two threads are timed by the wall clock, which other work on the machine slows.
- Settings: ${settings.map(([name, value]) => `${name} ${value}`).join(", ")}.
- Peak memory ${(run.peakBytes / 2 ** 30).toFixed(1)} GiB; the segments of both kinds took ${run.buildSeconds.toFixed(0)} s to build.
`;
}
