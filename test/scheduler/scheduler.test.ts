import { describe, expect, it } from "vitest";
import type { KvLease } from "../../src/kvcache/kv-cache.js";
import { Scheduler } from "../../src/scheduler/scheduler.js";
import { Sequence } from "../../src/scheduler/sequence.js";

const sequence = (id: string, promptLength: number) =>
  new Sequence({
    id,
    promptTokens: Int32Array.from({ length: promptLength }, (_, i) => i),
    maxTokens: 10,
    stopTokens: new Set(),
    sampling: { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 3 },
    attentionMode: null,
    retrievalBudget: 0.05,
    rules: null,
    constraint: null,
    topLogprobs: null,
    leaderId: null,
  });

function scheduler(rooms = Number.POSITIVE_INFINITY, wave: (sequence: Sequence) => boolean = () => false) {
  let left = rooms;
  return new Scheduler({
    maxParallel: 3,
    prefillChunkTokens: 8,
    tryStart: (sequence) => {
      if (left === 0) return false;
      left--;
      sequence.lease = {} as KvLease;
      return true;
    },
    wantsWave: wave,
  });
}

/** Runs a batch as the engine would: prompts move on, finished prompts get a token. */
function run(batch: ReturnType<Scheduler["schedule"]>): string[] {
  return (batch?.entries ?? []).map((entry) => {
    if (!entry.decode) entry.sequence.prefilled += entry.tokens.length;
    if (entry.wantsToken) entry.sequence.lastToken = 7;
    return `${entry.sequence.id}:${entry.decode ? "d" : "p"}${entry.tokens.length}`;
  });
}

describe("Scheduler", () => {
  it("mixes one prompt's chunk with the decode tokens of the others, first come first served", () => {
    const s = scheduler();
    for (const [id, length] of [
      ["a", 10],
      ["b", 3],
      ["c", 20],
    ] as const)
      s.add(sequence(id, length));
    expect(run(s.schedule())).toEqual(["a:p8"]);
    expect(run(s.schedule())).toEqual(["a:p2"]);
    expect(run(s.schedule())).toEqual(["a:d1", "b:p3"]);
    expect(run(s.schedule())).toEqual(["a:d1", "b:d1", "c:p8"]);
  });

  it("wants a token only from the last chunk of a prompt", () => {
    const s = scheduler();
    s.add(sequence("a", 9));
    const first = s.schedule();
    expect(first?.entries[0]?.wantsToken).toBe(false);
    run(first);
    expect(s.schedule()?.entries[0]?.wantsToken).toBe(true);
  });

  it("puts wave entries first", () => {
    const s = scheduler(3, (sequence) => sequence.id === "b");
    for (const id of ["a", "b", "c"]) s.add(sequence(id, 2));
    for (let i = 0; i < 3; i++) run(s.schedule());
    expect(run(s.schedule())).toEqual(["b:d1", "a:d1", "c:d1"]);
  });

  it("starts no more than allowed, keeps the order while there is no room, and lets leavers go", () => {
    const s = scheduler(1);
    s.add(sequence("a", 2));
    s.add(sequence("b", 2));
    run(s.schedule());
    expect([s.numRunning, s.numWaiting]).toEqual([1, 1]);
    expect(s.remove("b")?.id).toBe("b");
    expect(s.remove("a")?.id).toBe("a");
    expect(s.remove("a")).toBeUndefined();
    expect(s.schedule()).toBeNull();
  });
});

describe("Sequence", () => {
  it("draws the same uniform numbers for the same seed, in [0, 1)", () => {
    const [a, b] = [sequence("a", 1), sequence("b", 1)];
    const draws = Array.from({ length: 1000 }, () => a.nextUniform());
    expect(draws).toEqual(Array.from({ length: 1000 }, () => b.nextUniform()));
    expect(Math.min(...draws)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...draws)).toBeLessThan(1);
    expect(draws.reduce((sum, x) => sum + x, 0) / 1000).toBeCloseTo(0.5, 1);
  });
});
