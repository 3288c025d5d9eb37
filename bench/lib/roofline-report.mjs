// @ts-check
import { reasonFor } from "./roofline-reasons.mjs";
import { markdownTable } from "./table.mjs";

/**
 * @typedef {object} Limits bytes or operations a second
 * @property {number} read1 memory, one thread
 * @property {number} read2 memory, two threads
 * @property {number} f32 one thread
 * @property {number} int8 one thread
 *
 * @typedef {object} Kernel
 * @property {string} phase
 * @property {string} kernel
 * @property {string} shape
 * @property {1 | 2} threads
 * @property {number} bytes from memory, 0 where the data stay in the caches
 * @property {number} operations
 * @property {"int8" | "f32"} peak
 * @property {number} cpuSeconds of the calling thread
 * @property {number} wallSeconds
 *
 * @typedef {object} Attention
 * @property {number} tokens
 * @property {string} name
 * @property {number} wallSeconds
 * @property {number} cpuSeconds of all threads, divided by their number
 * @property {[number, number, number, number, number]} phases CPU seconds as above: score, choose, plan, attend, merge
 * @property {number} steadyBytes
 * @property {number} indexBytes
 * @property {number} retrievalBytes
 * @property {number} estimationBytes
 * @property {number} meanError
 * @property {number} maxError
 * @property {[number, number, number, number]} masses steady, retrieval, estimation, unattended
 *
 * @typedef {{ limits: Limits, kernels: Kernel[], attention: Attention[], peakBytes: number, buildSeconds: number }} Roofline
 */

const AIM = 0.7;

/**
 * What bench_roofline printed. A limit is measured several times; other work on the machine can only lower it.
 *
 * @param {string} output
 * @returns {Roofline}
 */
export function parseRoofline(output) {
  /** @type {Roofline} */
  const result = {
    limits: { read1: 0, read2: 0, f32: 0, int8: 0 },
    kernels: [],
    attention: [],
    peakBytes: 0,
    buildSeconds: 0,
  };
  for (const line of output.split("\n").filter((text) => text !== "")) {
    const { kind, ...rest } = JSON.parse(line);
    if (kind === "limit") {
      const name = /** @type {keyof Limits} */ (rest.name);
      result.limits[name] = Math.max(result.limits[name], rest.value);
    } else if (kind === "kernel") result.kernels.push(rest);
    else if (kind === "attention") result.attention.push(rest);
    else if (kind === "memory") Object.assign(result, rest);
    else throw new Error(`a result of an unknown kind: ${line}`);
  }
  const missing = Object.entries(result.limits).filter(([, value]) => !(value > 0));
  if (missing.length > 0) throw new Error(`no limit was measured: ${missing.map(([name]) => name).join(", ")}`);
  return result;
}

/**
 * The limit that binds a kernel is the one that takes longer.
 *
 * @param {Kernel} kernel
 * @param {Limits} limits
 * @returns {{ seconds: number, binds: "memory" | "compute", share: number }}
 */
export function shareOfLimit(kernel, limits) {
  const seconds = kernel.threads === 1 ? kernel.cpuSeconds : kernel.wallSeconds;
  const memory = kernel.bytes / (kernel.threads === 1 ? limits.read1 : limits.read2);
  const compute = kernel.operations / (kernel.threads * limits[kernel.peak]);
  return { seconds, binds: memory >= compute ? "memory" : "compute", share: Math.max(memory, compute) / seconds };
}

/** @param {Limits} limits */
export function limitTable(limits) {
  return markdownTable(
    ["limit", "measured"],
    [
      ["sequential read, 1 thread", `${giga(limits.read1)} GB/s`],
      ["sequential read, 2 threads", `${giga(limits.read2)} GB/s`],
      ["int8 multiply-adds, a thread", `${giga(limits.int8)} Gop/s`],
      ["f32 multiply-adds, a thread", `${giga(limits.f32)} Gop/s`],
    ],
  );
}

/** @param {readonly Kernel[]} kernels @param {Limits} limits */
export function kernelTable(kernels, limits) {
  return markdownTable(
    ["kernel", "shape", "phase", "threads", "MB", "Mop", "time", "speed", "bound by", "share", "under 70 %: why"],
    kernels.map((kernel) => {
      const { seconds, binds, share } = shareOfLimit(kernel, limits);
      const speed =
        binds === "memory" ? `${giga(kernel.bytes / seconds)} GB/s` : `${giga(kernel.operations / seconds)} Gop/s`;
      return [
        kernel.kernel,
        kernel.shape,
        kernel.phase,
        String(kernel.threads),
        mega(kernel.bytes),
        mega(kernel.operations),
        duration(seconds),
        speed,
        binds === "memory" ? "memory" : kernel.peak,
        `${(100 * share).toFixed(0)} %`,
        share < AIM ? (reasonFor(kernel) ?? "unknown") : "",
      ];
    }),
  );
}

/** @param {Attention} run */
export function bytesRead(run) {
  return run.steadyBytes + run.indexBytes + run.retrievalBytes + run.estimationBytes;
}

/**
 * Ratios are against the first run over the same tokens, exact attention over f16.
 *
 * @param {readonly Attention[]} runs
 */
export function attentionTable(runs) {
  return markdownTable(
    [
      "tokens",
      "attention",
      "MB read",
      "of f16",
      "ms wall",
      "ratio",
      "ms CPU",
      "ratio",
      "GB/s",
      "mean error",
      "largest",
    ],
    runs.map((run) => {
      const exact = exactRun(runs, run.tokens);
      const bytes = bytesRead(run);
      return [
        run.tokens.toLocaleString("en-US"),
        run.name,
        mega(bytes),
        percent(bytes / bytesRead(exact)),
        (1e3 * run.wallSeconds).toFixed(2),
        `${(exact.wallSeconds / run.wallSeconds).toFixed(1)} x`,
        (1e3 * run.cpuSeconds).toFixed(2),
        `${(exact.cpuSeconds / run.cpuSeconds).toFixed(1)} x`,
        giga(bytes / run.wallSeconds),
        run === exact ? "" : percent(run.meanError),
        run === exact ? "" : percent(run.maxError),
      ];
    }),
  );
}

/** Where the wave runs' bytes, time and attention mass are. @param {readonly Attention[]} runs */
export function zoneTable(runs) {
  return markdownTable(
    [
      "tokens",
      "attention",
      "MB: tail",
      "index",
      "retrieved",
      "estimated",
      "ms CPU: score",
      "choose",
      "plan",
      "attend",
      "mass: tail",
      "retrieved",
      "estimated",
      "unattended",
    ],
    runs
      .filter((run) => run.indexBytes > 0)
      .map((run) => [
        run.tokens.toLocaleString("en-US"),
        run.name,
        mega(run.steadyBytes),
        mega(run.indexBytes),
        mega(run.retrievalBytes),
        mega(run.estimationBytes),
        ...run.phases.slice(0, 4).map((seconds) => (1e3 * seconds).toFixed(2)),
        ...run.masses.map((mass) => mass.toFixed(3)),
      ]),
  );
}

/** @param {readonly Attention[]} runs @param {number} tokens @returns {Attention} */
function exactRun(runs, tokens) {
  const exact = runs.find((run) => run.tokens === tokens);
  if (!exact || exact.indexBytes > 0) throw new Error(`no exact attention over ${tokens} tokens comes first`);
  return exact;
}

/** @param {number} perSecond */
function giga(perSecond) {
  return (perSecond / 1e9).toFixed(perSecond < 1e11 ? 1 : 0);
}

/** @param {number} count */
function mega(count) {
  const value = count / 1e6;
  return value === 0 ? "" : value < 10 ? value.toFixed(2) : value.toFixed(value < 100 ? 1 : 0);
}

/** @param {number} seconds */
function duration(seconds) {
  return seconds < 1e-3 ? `${(1e6 * seconds).toFixed(1)} us` : `${(1e3 * seconds).toFixed(2)} ms`;
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
