import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NativeSequence, PhaseTimes } from "../../src/native/addon.js";
import { CollectingEngine, engineOptions } from "../engine/collector.js";
import { modelPath } from "../support/models.js";

const PROMPT_TOKENS = 600;

describe("phase times of the model runner with SmolLM2-135M", { timeout: 180_000 }, () => {
  let engine: CollectingEngine;

  beforeAll(() => {
    engine = new CollectingEngine(engineOptions(modelPath("smollm2-135m")));
  });
  afterAll(() => engine.close());

  const entry = (sequence: NativeSequence, tokens: Int32Array, wave: boolean) => ({
    sequence,
    tokens,
    decode: tokens.length === 1,
    wave,
    retrievalBudget: wave ? 0.05 : 0,
    wantsLogits: true,
  });

  /** What a piece of work adds to each phase, and the time that its steps take by this thread's clock. */
  const measure = (steps: (timed: (run: () => void) => void) => void) => {
    const { runner } = engine.model;
    const before = runner.phaseMs;
    let wallMs = 0;
    steps((run) => {
      const start = performance.now();
      run();
      wallMs += performance.now() - start;
    });
    const after = runner.phaseMs;
    const phases = Object.fromEntries(
      Object.entries(after).map(([phase, ms]) => [phase, ms - before[phase as keyof PhaseTimes]]),
    ) as unknown as PhaseTimes;
    return { phases, wallMs };
  };

  it("adds up to the wall time of the steps, each phase where its work is", () => {
    const { runner, kvCache } = engine.model;
    const lease = kvCache.tryLease(PROMPT_TOKENS + 20);
    if (lease === null) throw new Error("no room for the sequence");
    const prompt = Int32Array.from({ length: PROMPT_TOKENS }, (_, i) => 1000 + ((i * 7919) % 20_000));

    const prefill = measure((timed) => {
      for (let at = 0; at < PROMPT_TOKENS; at += 200) {
        timed(() => runner.run([entry(lease.sequence, prompt.subarray(at, at + 200), false)]));
        kvCache.buildSegments(lease);
      }
    });
    const decode = measure((timed) => {
      for (let at = 0; at < 16; at++)
        timed(() => runner.run([entry(lease.sequence, prompt.subarray(at, at + 1), true)]));
    });
    kvCache.release(lease);

    for (const { phases, wallMs } of [prefill, decode]) {
      for (const [phase, ms] of Object.entries(phases)) expect([phase, ms >= 0]).toEqual([phase, true]);
      const sumMs = Object.values(phases).reduce((sum, ms) => sum + ms, 0);
      expect(sumMs / wallMs).toBeGreaterThan(0.9);
      expect(sumMs / wallMs).toBeLessThan(1.0001);
    }
    expect(prefill.phases).toMatchObject({ score: 0, choose: 0 });
    expect(prefill.phases.prefill).toBeGreaterThan(prefill.phases.attend);
    for (const phase of ["score", "choose", "controlPlane", "attend", "merge"] as const) {
      expect(decode.phases[phase]).toBeGreaterThan(0);
    }
    expect(decode.phases.attend + decode.phases.score).toBeGreaterThan(decode.phases.prefill);
    expect(decode.phases.feedForward).toBeGreaterThan(decode.phases.merge);
  });
});
