import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readGgufMetadata } from "../../src/model/gguf-metadata.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import { modelPath } from "../support/models.js";
import { CollectingEngine, engineOptions, generateRequest } from "./collector.js";

const path = modelPath("smollm2-135m");
const text = ["docs/architecture.md", "CONTRIBUTING.md", "LICENSE"]
  .map((name) => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8"))
  .join("\n");

// On a busy machine of two cores the longest of these takes half a minute.
describe("engine with SmolLM2-135M", { timeout: 180_000 }, () => {
  let engine: CollectingEngine;
  let prompt: Int32Array;

  beforeAll(() => {
    engine = new CollectingEngine(engineOptions(path));
    prompt = createTokenizer(readGgufMetadata(path)).encode(text, { addSpecial: true, parseSpecial: false });
    expect(prompt.length).toBeGreaterThan(1500);
  });
  afterAll(() => engine.close());

  const run = (id: string, tokens: Int32Array, overrides = {}) => {
    engine.engine.submit(generateRequest(id, tokens, overrides));
    engine.drain();
    return engine.tokens(id);
  };

  it("reports progress, tokens and an end in that order", () => {
    expect(run("order", prompt.subarray(0, 600), { maxTokens: 3 })).toHaveLength(3);
    const types = engine.events.get("order")?.map((event) => event.type);
    expect(types).toEqual(["progress", "progress", "progress", "token", "token", "token", "finished"]);
    const end = engine.finished("order");
    expect(end).toMatchObject({ reason: "length", promptTokens: 600, completionTokens: 3, cachedTokens: 0 });
    expect(end.report.segments).toBe(2);
    expect(end.timings.prefillMs).toBeGreaterThan(0);
  });

  it("uses the wave index by itself where the context has a segment, and full attention on demand", () => {
    run("wave", prompt.subarray(0, 900));
    run("full", prompt.subarray(0, 900), { attention: { mode: "full", retrievalBudget: null } });
    run("short", prompt.subarray(0, 100));
    expect(engine.finished("wave").report.mode).toBe("wave");
    expect(engine.finished("full").report.mode).toBe("full");
    expect(engine.finished("short").report.mode).toBe("full");
    const { tokens, mass, kvReadShare } = engine.finished("wave").report;
    expect(tokens.steady + tokens.retrieval + tokens.estimation).toBeCloseTo(900 + 15 / 2 + 0.5, 0);
    expect(mass.steady + mass.retrieval + mass.estimation).toBeCloseTo(1, 5);
    expect(mass.retrieval).toBeGreaterThan(0.05);
    expect(kvReadShare).toBeLessThan(0.7);
    expect(engine.finished("full").report.kvReadShare).toBeCloseTo(1, 6);
  });

  it("retrieving everything gives the tokens of full attention", () => {
    const wave = run("all", prompt.subarray(0, 1200), {
      attention: { mode: "wave", retrievalBudget: 1 },
      maxTokens: 24,
    });
    const full = run("none", prompt.subarray(0, 1200), {
      attention: { mode: "full", retrievalBudget: null },
      maxTokens: 24,
    });
    expect(wave).toEqual(full);
    expect(engine.finished("all").report.tokens.estimation).toBe(0);
  });

  it("gives each sequence of a batch what it gives alone, sampled too", () => {
    const sampled = { sampling: { temperature: 0.8, topP: 0.95, topK: 50, minP: 0, seed: 7 }, maxTokens: 20 };
    const lengths = [37, 1100, 420, 700];
    const alone = lengths.map((length, i) => run(`alone-${i}`, prompt.subarray(i, i + length), sampled));
    lengths.forEach((length, i) => {
      engine.engine.submit(generateRequest(`together-${i}`, prompt.subarray(i, i + length), sampled));
      for (let step = 0; step < i; step++) engine.engine.step(); // enter at different steps
    });
    engine.drain();
    lengths.forEach((_, i) => expect(engine.tokens(`together-${i}`)).toEqual(alone[i]));
    expect(new Set(alone.map((tokens) => tokens.join())).size).toBe(4);
  });

  it("keeps more requests than it runs at once waiting, and serves all", () => {
    const ids = Array.from({ length: 9 }, (_, i) => `queue-${i}`);
    for (const id of ids) engine.engine.submit(generateRequest(id, prompt.subarray(0, 40), { maxTokens: 4 }));
    expect(engine.engine.stats().queued).toBe(9);
    engine.engine.step();
    expect(engine.engine.stats().running).toBe(4);
    engine.drain();
    for (const id of ids) expect(engine.tokens(id)).toEqual(engine.tokens("queue-0"));
  });

  it("stops before a stop token and does not emit it", () => {
    const tokens = run("free", prompt.subarray(0, 50), { maxTokens: 8 });
    const stopped = run("stopped", prompt.subarray(0, 50), { maxTokens: 8, stopTokens: [tokens[3]] });
    expect(stopped).toEqual(tokens.slice(0, tokens.indexOf(tokens[3] as number)));
    expect(engine.finished("stopped").reason).toBe("stop");
  });

  it("gives all memory back when requests are cancelled at any point", () => {
    for (const steps of [0, 1, 3, 6]) {
      engine.engine.submit(generateRequest("leaver", prompt.subarray(0, 1000)));
      for (let i = 0; i < steps; i++) engine.engine.step();
      engine.engine.cancel("leaver");
      engine.engine.checkIntegrity();
    }
    expect(engine.engine.stats()).toMatchObject({ queued: 0, running: 0, kvBytesUsed: 0, segmentsLive: 0 });
    expect(engine.engine.step()).toBe(false);
  });

  it("decoding completes segments too", () => {
    run("grow", prompt.subarray(0, 300), { maxTokens: 60 });
    expect(engine.finished("grow").report.segments).toBe(1);
  });

  it("refuses what can never run, with the numbers", () => {
    const submit =
      (tokens: Int32Array, overrides = {}) =>
      () =>
        engine.engine.submit(generateRequest("refused", tokens, overrides));
    expect(submit(new Int32Array(0))).toThrow("empty");
    expect(submit(prompt.subarray(0, 10), { maxTokens: 2039 })).toThrow(/10 prompt tokens and 2039 .* 2049.* 2048/);
    expect(engine.engine.stats().queued).toBe(0);
  });

  it("fails the request whose token is outside the vocabulary, and goes on", () => {
    engine.engine.submit(generateRequest("bad", Int32Array.of(1, 999_999)));
    engine.drain();
    expect(engine.failures.get("bad")?.message).toContain("999999");
    expect(run("after", prompt.subarray(0, 20), { maxTokens: 2 })).toHaveLength(2);
  });
});

describe("block cache", { timeout: 180_000 }, () => {
  it("gives the tokens of segments in place, with hits", () => {
    const inPlace = new CollectingEngine(engineOptions(path));
    const cached = new CollectingEngine(engineOptions(path, { blockCacheMiB: 4 }));
    const prompt = createTokenizer(readGgufMetadata(path)).encode(text, { addSpecial: true, parseSpecial: false });
    try {
      for (const engine of [inPlace, cached]) {
        engine.engine.submit(generateRequest("a", prompt.subarray(0, 1300), { maxTokens: 24 }));
        engine.drain();
      }
      expect(cached.tokens("a")).toEqual(inPlace.tokens("a"));
      const { hits, misses } = cached.finished("a").report.blockCache;
      expect(hits).toBeGreaterThan(0.3 * (hits + misses));
      expect(inPlace.finished("a").report.blockCache).toEqual({ hits: 0, misses: 0 });
      expect(cached.engine.stats()).toMatchObject({ segmentsLive: 0, kvBytesUsed: 0 });
    } finally {
      inPlace.close();
      cached.close();
    }
  });
});

describe("memory budget", { timeout: 180_000 }, () => {
  it("runs one after the other what does not fit together, and refuses what never fits", () => {
    const measure = new CollectingEngine(engineOptions(path));
    const oneContext = measure.model.kvCache.bytesFor(1024);
    measure.close();
    const options = engineOptions(path, { contextTokens: 1024, kvMemoryBytes: Math.ceil(1.5 * oneContext) });
    const engine = new CollectingEngine(options);
    try {
      for (const id of ["a", "b"]) {
        engine.engine.submit(
          generateRequest(
            id,
            Int32Array.from({ length: 700 }, (_, i) => i + 100),
            { maxTokens: 300 },
          ),
        );
      }
      engine.engine.step();
      expect(engine.engine.stats()).toMatchObject({ running: 1, queued: 1 });
      expect(engine.engine.stats().kvBytesUsed).toBeLessThanOrEqual(engine.engine.stats().kvBytesTotal);
      engine.engine.cancel("a");
      engine.engine.step();
      expect(engine.engine.stats()).toMatchObject({ running: 1, queued: 0 });
    } finally {
      engine.close();
    }
    expect(() => new CollectingEngine(engineOptions(path, { kvMemoryBytes: 1 << 20 }))).toThrow(/--kv-memory/);
  });
});
