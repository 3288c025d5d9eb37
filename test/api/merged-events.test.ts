import { describe, expect, it } from "vitest";
import { mergedEvents } from "../../src/api/merged-events.js";

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("mergedEvents", () => {
  it("yields every source's values in their order, and lets none starve the others", async () => {
    let left = false;
    async function* endless(): AsyncGenerator<string, void> {
      try {
        while (true) yield "e";
      } finally {
        left = true;
      }
    }
    async function* few(): AsyncGenerator<string, void> {
      for (const value of ["a", "b", "c"]) {
        await sleep(2);
        yield value;
      }
    }
    let cancelled = false;
    const seen: string[] = [];
    const merged = mergedEvents([endless(), few()], () => {
      cancelled = true;
    });
    for await (const { index, event } of merged) {
      if (index === 1) seen.push(event);
      else await sleep(1);
      if (seen.length === 3) break;
    }
    expect(seen).toEqual(["a", "b", "c"]);
    expect([cancelled, left]).toEqual([true, true]);
  });

  it("ends all sources where one fails, once, and cancels them first", async () => {
    let release = () => {};
    const waiting = new Promise<void>((resolve) => {
      release = resolve;
    });
    // biome-ignore lint/correctness/useYield: it never gets that far
    async function* stuck(): AsyncGenerator<string, void> {
      await waiting;
      throw new Error("cancelled");
    }
    async function* broken(): AsyncGenerator<string, void> {
      yield "a";
      throw new Error("device lost");
    }
    const merged = mergedEvents([stuck(), broken(), stuck()], release);
    expect((await merged.next()).value).toEqual({ index: 1, event: "a" });
    await expect(merged.next()).rejects.toThrow("device lost");
  });

  it("ends when the last source has, without a cancellation", async () => {
    async function* one(): AsyncGenerator<number, void> {
      yield 1;
    }
    let cancelled = false;
    const seen: number[] = [];
    const merged = mergedEvents([one(), one()], () => {
      cancelled = true;
    });
    for await (const { index } of merged) seen.push(index);
    expect(seen).toEqual([0, 1]);
    expect(cancelled).toBe(false);
  });
});
