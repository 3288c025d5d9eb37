import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { klDivergence, logSoftmax } from "../../bench/lib/distributions.mjs";
import { readGgufMetadata } from "../../src/model/gguf-metadata.js";
import type { NativeSequence } from "../../src/native/addon.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import { modelPath } from "../support/models.js";
import { CollectingEngine, engineOptions, generateRequest } from "./collector.js";

const path = modelPath("smollm2-135m");
// A text that never changes, so that no edit of the documents moves what a small model makes of it.
const text = readFileSync(new URL("../../LICENSE", import.meta.url), "utf8");

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
    run("wave", prompt.subarray(0, 1700));
    run("full", prompt.subarray(0, 1700), { attention: { mode: "full", retrievalBudget: null } });
    run("short", prompt.subarray(0, 100));
    expect(engine.finished("wave").report.mode).toBe("wave");
    expect(engine.finished("full").report.mode).toBe("full");
    expect(engine.finished("short").report.mode).toBe("full");
    const { tokens, mass, kvReadShare } = engine.finished("wave").report;
    expect(tokens.steady + tokens.retrieval + tokens.estimation).toBeLessThanOrEqual(1708);
    expect(tokens.steady + tokens.retrieval + tokens.estimation).toBeGreaterThan(900);
    expect(mass.steady + mass.retrieval + mass.estimation + mass.unattended).toBeCloseTo(1, 5);
    expect(mass.unattended).toBeLessThan(0.05);
    expect(mass.retrieval).toBeGreaterThan(0.05);
    // In full mode: 6 segments of 256 records of 136 bytes, and f16 for the other 165 to 172 tokens, by bytes of 256 a token.
    const full = engine.finished("full").report.kvReadShare;
    expect(full).toBeCloseTo((1536 * 136 + 168 * 256) / (1704 * 256), 2);
    expect(kvReadShare).toBeLessThan(0.85 * full);
  });

  it("retrieving everything gives the distributions of full attention, retrieving little does not", () => {
    const { runner, kvCache, native } = engine.model;
    const lease = kvCache.tryLease(1300)!;
    const entry = (sequence: NativeSequence, tokens: Int32Array, retrievalBudget: number | null) => ({
      sequence,
      tokens,
      decode: tokens.length === 1,
      wave: retrievalBudget !== null,
      retrievalBudget: retrievalBudget ?? 0,
      wantsLogits: true,
    });
    for (let at = 0; at < 1200; at += 200) {
      runner.run([entry(lease.sequence, prompt.subarray(at, at + 200), null)]);
      kvCache.buildSegments(lease);
    }
    native.setWaveOptions({ ...engine.model.wave, minClusters: 1 });
    const [whole, little] = [lease.sequence.fork(), lease.sequence.fork()];
    let [wholeKl, littleKl] = [0, 0];
    for (let at = 1200; at < 1216; at++) {
      const token = prompt.subarray(at, at + 1);
      runner.run([entry(whole, token, 1), entry(little, token, 0.01), entry(lease.sequence, token, null)]);
      wholeKl += klDivergence(logSoftmax(native.logits(2)), logSoftmax(native.logits(0))) / 16;
      littleKl += klDivergence(logSoftmax(native.logits(2)), logSoftmax(native.logits(1))) / 16;
    }
    // What is left at 100 % is the order of sums, passed on by int8 inputs; native/test/test_decode_attention.cpp has the tight bound.
    expect(wholeKl).toBeLessThan(0.01);
    expect(littleKl).toBeGreaterThan(2 * wholeKl);
    expect(whole.zones().estimationTokens).toBe(0);
    native.setWaveOptions(engine.model.wave);
    for (const fork of [whole, little]) fork.dispose();
    kvCache.release(lease);
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
    expect(lengths.map((_, i) => engine.tokens(`together-${i}`))).toEqual(alone);
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

  it("forks choices from one prefill: tokens as alone, places for more than run at once, memory back", () => {
    const tokens = prompt.subarray(0, 700);
    const sampled = (seed: number) => ({
      sampling: { temperature: 0.9, topP: 1, topK: 0, minP: 0, seed },
      maxTokens: 6,
    });
    const before = engine.engine.stats().promptTokensTotal;
    for (let i = 0; i < 6; i++) {
      const forkOf = i === 0 ? undefined : "choice-0";
      engine.engine.submit(generateRequest(`choice-${i}`, tokens, { ...sampled(i), forkOf }));
    }
    engine.drain();
    // Four run at once: of the others, two find no place while the prompt is in the cache, and prefill by themselves.
    expect(engine.engine.stats().promptTokensTotal - before).toBe(3 * 700);
    expect(engine.finished("choice-1").cachedTokens).toBe(700);
    for (let i = 0; i < 6; i++) expect(engine.tokens(`choice-${i}`)).toEqual(run(`single-${i}`, tokens, sampled(i)));
    expect(engine.engine.stats().kvBytesUsed).toBe(0);
  });

  it("a choice whose leader leaves is served all the same", () => {
    engine.engine.submit(generateRequest("leading", prompt.subarray(0, 600), { maxTokens: 3 }));
    engine.engine.submit(generateRequest("following", prompt.subarray(0, 600), { maxTokens: 3, forkOf: "leading" }));
    engine.engine.step();
    engine.engine.cancel("leading");
    engine.drain();
    expect(engine.tokens("following")).toHaveLength(3);
    expect(engine.engine.stats().kvBytesUsed).toBe(0);
  });

  it("bans, favours and penalises tokens, and gives log-probabilities of the model's own distribution", () => {
    const tokens = prompt.subarray(0, 60);
    const none = {
      biasTokens: [],
      biases: [],
      presencePenalty: 0,
      frequencyPenalty: 0,
      repeatPenalty: 1,
      repeatLastN: 64,
    };
    const plain = run("plain", tokens, { maxTokens: 12, topLogprobs: 3 });
    const events = engine.events.get("plain") ?? [];
    for (const event of events) {
      if (event.type !== "token") continue;
      expect(event.logprobs?.topTokens[0]).toBe(event.tokenId);
      expect(event.logprobs?.logprob).toBeCloseTo(event.logprobs?.topLogprobs[0] ?? 1, 6);
      expect(event.logprobs?.topLogprobs[2]).toBeLessThanOrEqual(event.logprobs?.topLogprobs[1] ?? -99);
    }
    const first = plain[0] ?? -1;
    const banned = run("banned", tokens, { logits: { ...none, biasTokens: [first], biases: [-100] } });
    expect(banned).not.toContain(first);
    const favoured = run("favoured", tokens, { logits: { ...none, biasTokens: [777], biases: [100] } });
    expect(new Set(favoured)).toEqual(new Set([777]));
    const distinct = run("distinct", tokens, { maxTokens: 24, logits: { ...none, presencePenalty: 100 } });
    expect(new Set(distinct).size).toBe(24);
    const unseen = run("unseen", tokens, { logits: { ...none, repeatPenalty: 50, repeatLastN: -1 } });
    expect(unseen.filter((token) => tokens.includes(token))).toEqual([]);
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
    const cached = new CollectingEngine(engineOptions(path, { blockCacheMiB: 13 }));
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

describe("kinds of keys and values", { timeout: 180_000 }, () => {
  it("q8 is the default and takes 136 bytes a token and row where f16 takes 256 and reads all in full mode", () => {
    const [byDefault, half] = [
      new CollectingEngine(engineOptions(path)),
      new CollectingEngine(engineOptions(path, { kvType: "f16" })),
    ];
    try {
      const geometry = byDefault.model.native.geometry();
      const ofHalf = half.model.native.geometry();
      expect([geometry.recordBytes, ofHalf.recordBytes]).toEqual([136, 256]);
      expect(ofHalf.segmentBytes - geometry.segmentBytes).toBe(90 * 256 * 120);
      const tokens = createTokenizer(readGgufMetadata(path)).encode(text, { addSpecial: true, parseSpecial: false });
      const attention = { mode: "full" as const, retrievalBudget: null };
      half.engine.submit(generateRequest("full", tokens.subarray(0, 700), { maxTokens: 4, attention }));
      half.drain();
      expect(half.finished("full").report).toMatchObject({ mode: "full", segments: 2, kvReadShare: 1 });
    } finally {
      byDefault.close();
      half.close();
    }
  });
});

describe("prefix cache", { timeout: 180_000 }, () => {
  let prompt: Int32Array;
  let engine: CollectingEngine;
  const run = (id: string, tokens: Int32Array) => {
    engine.engine.submit(generateRequest(id, tokens, { maxTokens: 12 }));
    engine.drain();
    return engine.finished(id);
  };

  beforeAll(() => {
    prompt = createTokenizer(readGgufMetadata(path)).encode(text, { addSpecial: true, parseSpecial: false });
    engine = new CollectingEngine(engineOptions(path, { reusePrefixes: true }));
  });
  afterAll(() => engine.close());

  it("reads a prompt's known beginning from its segments, and answers as before", () => {
    expect(run("first", prompt.subarray(0, 900)).cachedTokens).toBe(0);
    expect(run("again", prompt.subarray(0, 900)).cachedTokens).toBe(768);
    run("once more", prompt.subarray(0, 900));
    // Segments hold their tokens in another order than the tail does, so sums round otherwise than in the first run; from then on all is equal.
    expect(engine.tokens("once more")).toEqual(engine.tokens("again"));
    expect(engine.finished("again").report.segments).toBe(3);
    expect(engine.events.get("again")?.[0]).toMatchObject({
      type: "progress",
      processed: 900,
      total: 900,
      cached: 768,
    });
    // What decoding adds to a sequence is known as well: 12 tokens complete the fourth segment here.
    run("long", prompt.subarray(0, 1082));
    const grown = Int32Array.from([...prompt.subarray(0, 1082), ...engine.tokens("long"), 5, 6, 7]);
    expect(run("grown", grown).cachedTokens).toBe(1024);
  });

  it("takes only what is equal from the first token on", () => {
    expect(run("fork", Int32Array.from([...prompt.subarray(0, 600), ...prompt.subarray(50, 400)])).cachedTokens).toBe(
      512,
    );
    const changed = prompt.slice(0, 900);
    changed[3] = 77;
    expect(run("changed", changed).cachedTokens).toBe(0);
    expect(run("shifted", prompt.subarray(1, 900)).cachedTokens).toBe(0);
    expect(run("short", prompt.subarray(0, 300)).cachedTokens).toBe(0); // 256 would leave less than the local window
  });

  it("shares segments between sequences that run at once, and survives cancelling", () => {
    for (const id of ["a", "b", "c"])
      engine.engine.submit(generateRequest(id, prompt.subarray(0, 1200), { maxTokens: 8 }));
    for (let i = 0; i < 4; i++) engine.engine.step();
    engine.engine.cancel("b");
    engine.drain();
    expect(engine.tokens("c")).toEqual(engine.tokens("a"));
    expect(engine.engine.stats().running).toBe(0);
  });

  it("lets known segments go where the budget needs their memory", () => {
    const { kvCache } = engine.model;
    const tight = new CollectingEngine(
      engineOptions(path, {
        reusePrefixes: true,
        contextTokens: 1024,
        maxParallel: 1,
        kvMemoryBytes: kvCache.bytesFor(1024),
      }),
    );
    try {
      const answer = (id: string, tokens: Int32Array) => {
        tight.engine.submit(generateRequest(id, tokens, { maxTokens: 1024 - tokens.length }));
        for (let i = 0; i < 6; i++) tight.engine.step();
        tight.engine.cancel(id);
        tight.engine.checkIntegrity();
        return tight.events.get(id)?.[0];
      };
      answer("x", prompt.subarray(0, 1000));
      expect(tight.engine.stats().segmentsLive).toBe(3);
      expect(answer("y", prompt.subarray(7, 900))).toMatchObject({ cached: 0 });
      expect(answer("z", prompt.subarray(7, 900))).toMatchObject({ cached: 768 });
      expect(answer("x2", prompt.subarray(0, 1000))).toMatchObject({ cached: 0 });
    } finally {
      tight.close();
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
