import { expect, it } from "vitest";
import { aimRows } from "../../bench/lib/aims.mjs";
import { controlShare, type StageResult } from "../../bench/lib/decode-report.mjs";

const stage = (depth: number, wave: number): StageResult => ({
  depth,
  ropeScale: 1,
  prefillTokens: depth,
  contextTokens: depth,
  decodedTokens: 1,
  agreement: 1,
  prefill: { wavekv: 600, reference: 100 },
  mark: null,
  indexShare: 0.06,
  controlShare: null,
  decode: { wave, full: 29, reference: 10 },
  times: {} as StageResult["times"],
});

it("judges each aim whose depths were measured, by the model", () => {
  const stages = [stage(0, 120), stage(8192, 80), stage(32768, 60)];
  expect(aimRows("smollm2-135m", stages)).toEqual([
    ["decode, empty cache", ">= 1.50 x", "12.00 x", "yes"],
    ["decode at 8K, wave", ">= 8.00 x", "8.00 x", "yes"],
    ["decode at 32K, wave", ">= 15.00 x", "6.00 x", "no"],
    ["decode at 8K, exact", ">= 3.00 x", "2.90 x", "no"],
    ["flatness: decode at 32K / at 0, wave", ">= 0.60 x", "0.50 x", "no"],
    ["prefill of an 8K prompt, index build included", ">= 6.00 x", "6.00 x", "yes"],
    ["index build, share of prefill (8K)", "<= 5.0 %", "6.0 %", "no"],
  ]);
  const flat = aimRows("qwen2.5-coder-0.5b", stages).find(([measure]) => measure?.startsWith("flatness"));
  expect(flat).toEqual(["flatness: decode at 32K / at 0, wave", ">= 0.80 x", "0.50 x", "no"]);
  expect(aimRows("smollm2-135m", [stage(2048, 1)])).toEqual([]);
});

it("counts what is in no phase as crossing", () => {
  expect(controlShare({ waveMs: [5, 5], wavePhaseMs: { project: 4, attend: 5, lookup: 0.5 } })).toBeCloseTo(0.1);
  expect(controlShare({ waveMs: [5, 5], wavePhaseMs: { project: 4, lookup: 0 } })).toBeNull();
});
