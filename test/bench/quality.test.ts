import { expect, it } from "vitest";
import { fidelityRows, whyNotJoined } from "../../bench/lib/quality.mjs";

const speed = { revision: "abc", engines: { wavekv: { wave: { retrievalBudget: 0.05, minClusters: 48 } } } };

it("joins runs of one build and one set of settings only", () => {
  const defaults = { retrievalBudget: 0.05, minClusters: 48 };
  expect(whyNotJoined(speed, { revision: "abc", defaults })).toBeNull();
  expect(whyNotJoined(speed, { revision: "def", defaults })).toMatch(/revision def/);
  expect(whyNotJoined(speed, { revision: "abc", defaults: { ...defaults, minClusters: 32 } })).toMatch(
    /: minClusters$/,
  );
  expect(whyNotJoined(speed, { revision: "abc", defaults: { ...defaults, other: 1 } })).toMatch(/: other$/);
});

it("joins no run of an uncommitted build", () => {
  const changed = { ...speed, revision: "abc+changes" };
  expect(whyNotJoined(changed, { revision: "abc+changes", defaults: speed.engines.wavekv.wave })).toMatch(/revision/);
});

it("shows the defaults' results beside full attention's needles", () => {
  const result = {
    text: "code",
    promptTokens: 10,
    kl: 0.00512,
    top1: 0.97,
    bytesBeyondTail: 0.1,
    found: 9,
    needles: 10,
  };
  const prompts = [{ text: "code", promptTokens: 10, full: { found: 8, needles: 10 } }];
  const rows = fidelityRows({ prompts, budgets: [result, { ...result, kl: 0.0031, withFloor: true }] });
  expect(rows).toEqual([["code, 10", "0.0031", "97.0 %", "10.0 %", "9/10", "8/10"]]);
});
