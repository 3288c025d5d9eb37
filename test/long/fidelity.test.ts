import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PROMPTS } from "../../bench/fidelity/settings.mjs";
import { Subject } from "../../bench/fidelity/subject.mjs";
import { DEFAULTS } from "../../src/engine/options.js";
import { readGgufMetadata } from "../../src/model/gguf-metadata.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import { modelPath } from "../support/models.js";

// Wave against full attention after 8K tokens of real code (docs/fidelity.md). Bounds are measured values with room for other
// rounding: full attention itself, its sums taken in another order, is off by a KL of 0.003 (SmolLM2) and 0.0006 (Qwen).

describe.each([
  { name: "smollm2-135m", maxKl: 0.008, maxRoundingKl: 0.006, maxBytes: 0.11, lost: 1 },
  { name: "qwen2.5-coder-0.5b", maxKl: 0.01, maxRoundingKl: 0.002, maxBytes: 0.11, lost: 1 },
])("wave attention of $name at 8K", ({ name, maxKl, maxRoundingKl, maxBytes, lost }) => {
  let subject: Subject;
  let atDefaults: ReturnType<Subject["measure"]>[0];
  let byBudget: ReturnType<Subject["measure"]>;

  beforeAll(() => {
    const prompt = PROMPTS[name]!.find(({ text }) => text === "code")!;
    const path = modelPath(name);
    subject = new Subject(path, createTokenizer(readGgufMetadata(path)), prompt);
    atDefaults = subject.measure({}, [DEFAULTS.retrievalBudget], true)[0]!;
    byBudget = subject.measure({ minClusters: 1 }, [0.01, 0.1, 1], false);
    console.info(JSON.stringify({ name, full: subject.fullNeedles, atDefaults, byBudget }, null, 1));
  });

  afterAll(() => subject?.close());

  it("stays close to full attention and reads little beyond the tail", () => {
    expect(atDefaults.kl).toBeLessThan(maxKl);
    expect(atDefaults.top1).toBeGreaterThanOrEqual(0.95);
    expect(atDefaults.bytesBeyondTail).toBeLessThan(maxBytes);
  });

  it("comes closer as the budget grows, and at 100 % differs by rounding alone", () => {
    const [small, medium, whole] = byBudget;
    expect(medium!.kl).toBeLessThan(0.8 * small!.kl);
    expect(whole!.kl).toBeLessThan(0.8 * small!.kl);
    expect(whole!.kl).toBeLessThan(maxRoundingKl);
    expect(whole!.estimationMass + whole!.unattendedMass).toBe(0);
  });

  it("accounts for the whole attention mass", () => {
    for (const { steadyMass, retrievalMass, estimationMass, unattendedMass } of [atDefaults, ...byBudget]) {
      expect(steadyMass + retrievalMass + estimationMass + unattendedMass).toBeCloseTo(1, 5);
    }
    expect(atDefaults.unattendedMass).toBeLessThan(0.04);
  });

  it("finds the needles that full attention finds", () => {
    const { found, needles } = subject.fullNeedles;
    expect(needles).toBe(10);
    expect(found).toBeGreaterThanOrEqual(6);
    expect("found" in atDefaults && atDefaults.found).toBeGreaterThanOrEqual(found - lost);
  });
});
