import { describe, expect, it } from "vitest";
import { reasonFor } from "../../bench/lib/roofline-reasons.mjs";
import {
  attentionTable,
  bytesRead,
  kernelTable,
  limitTable,
  parseRoofline,
  shareOfLimit,
  zoneTable,
} from "../../bench/lib/roofline-report.mjs";

const limits = { read1: 10e9, read2: 16e9, f32: 100e9, int8: 400e9 };
const limitLines = Object.entries(limits).map(([name, value]) => JSON.stringify({ kind: "limit", name, value }));
const kernel = {
  phase: "decode",
  kernel: "GEMV Q8_0",
  shape: "1 x [16, 32]",
  threads: 1 as const,
  bytes: 10e6,
  operations: 80e6,
  peak: "int8" as const,
  cpuSeconds: 2e-3,
  wallSeconds: 4e-3,
};
const exact = {
  tokens: 1024,
  name: "exact, f16",
  wallSeconds: 40e-3,
  cpuSeconds: 30e-3,
  phases: [0, 0, 0, 40e-3, 0] as [number, number, number, number, number],
  steadyBytes: 100e6,
  indexBytes: 0,
  retrievalBytes: 0,
  estimationBytes: 0,
  meanError: 0,
  maxError: 0,
  masses: [1, 0, 0, 0] as [number, number, number, number],
};
const wave = {
  ...exact,
  name: "wave",
  wallSeconds: 4e-3,
  cpuSeconds: 2e-3,
  phases: [1e-3, 0.5e-3, 0.25e-3, 2e-3, 0.25e-3] as [number, number, number, number, number],
  steadyBytes: 1e6,
  indexBytes: 2e6,
  retrievalBytes: 3e6,
  estimationBytes: 4e6,
  meanError: 0.05,
  maxError: 0.5,
  masses: [0.6, 0.3, 0.07, 0.03] as [number, number, number, number],
};
/** The cells of a row, the header being row 0 and the rule row 1. */
function cells(table: string, row: number): string[] {
  return table
    .split("\n")
    [row]!.split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}

describe("parseRoofline", () => {
  it("keeps each limit's largest measurement", () => {
    const lower = JSON.stringify({ kind: "limit", name: "read1", value: 1e9 });
    expect(parseRoofline([lower, ...limitLines, lower].join("\n")).limits).toEqual(limits);
  });

  it("sorts kernels, attention and memory", () => {
    const lines = [
      ...limitLines,
      JSON.stringify({ kind: "kernel", ...kernel }),
      JSON.stringify({ kind: "attention", ...exact }),
      JSON.stringify({ kind: "memory", buildSeconds: 3, peakBytes: 5 }),
    ];
    const roofline = parseRoofline(`${lines.join("\n")}\n`);
    expect(roofline).toEqual({ limits, kernels: [kernel], attention: [exact], buildSeconds: 3, peakBytes: 5 });
  });

  it("refuses a missing limit and an unknown kind by name", () => {
    expect(() => parseRoofline(limitLines.slice(0, 2).join("\n"))).toThrow(/f32, int8/);
    expect(() => parseRoofline('{"kind":"weather"}')).toThrow(/weather/);
  });
});

describe("shareOfLimit", () => {
  it("takes the limit with the larger time, and CPU time on one thread", () => {
    expect(shareOfLimit(kernel, limits)).toEqual({ seconds: 2e-3, binds: "memory", share: 0.5 });
    expect(shareOfLimit({ ...kernel, operations: 600e6 }, limits)).toEqual({
      seconds: 2e-3,
      binds: "compute",
      share: 0.75,
    });
  });

  it("measures two threads by the wall clock against both threads' limits", () => {
    const shared = shareOfLimit({ ...kernel, threads: 2, bytes: 32e6 }, limits);
    expect(shared).toEqual({ seconds: 4e-3, binds: "memory", share: 0.5 });
    const busy = shareOfLimit({ ...kernel, threads: 2, bytes: 0, peak: "f32", operations: 400e6 }, limits);
    expect(busy).toEqual({ seconds: 4e-3, binds: "compute", share: 0.5 });
  });
});

describe("tables", () => {
  it("shows the limits", () => {
    expect(limitTable(limits)).toContain("| sequential read, 2 threads   | 16.0 GB/s |");
  });

  it("asks why only under 70 %", () => {
    const unheard = { ...kernel, kernel: "a kernel nobody heard of" };
    const table = kernelTable([unheard, { ...unheard, bytes: 15e6 }], limits);
    expect(cells(table, 2).slice(-4)).toEqual(["5.0 GB/s", "memory", "50 %", "unknown"]);
    expect(cells(table, 3).slice(-4)).toEqual(["7.5 GB/s", "memory", "75 %", ""]);
  });

  it("gives ratios of time and bytes against exact attention over as many tokens", () => {
    const table = attentionTable([exact, wave, { ...exact, tokens: 2048, wallSeconds: 80e-3 }]);
    expect(bytesRead(wave)).toBe(10e6);
    expect(cells(table, 3)).toEqual([
      "1,024",
      "wave",
      "10.0",
      "10.0 %",
      "4.00",
      "10.0 x",
      "2.00",
      "15.0 x",
      "2.5",
      "5.0 %",
      "50.0 %",
    ]);
    expect(cells(table, 4)[5]).toBe("1.0 x");
    expect(() => attentionTable([wave])).toThrow(/no exact attention over 1024 tokens/);
  });

  it("splits wave alone by zone", () => {
    const table = zoneTable([exact, wave]);
    expect(table.split("\n")).toHaveLength(3);
    expect(cells(table, 2)).toEqual([
      "1,024",
      "wave",
      "1.00",
      "2.00",
      "3.00",
      "4.00",
      "1.00",
      "0.50",
      "0.25",
      "2.00",
      "0.600",
      "0.300",
      "0.070",
      "0.030",
    ]);
  });
});

it("knows reasons by kernel, shape and threads", () => {
  expect(reasonFor({ kernel: "sampling, greedy", shape: "9 logits", threads: 1 })).toMatch(/one logit/);
  expect(reasonFor({ kernel: "a kernel nobody heard of", shape: "1", threads: 1 })).toBeUndefined();
});
