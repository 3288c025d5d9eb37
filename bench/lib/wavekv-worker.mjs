// @ts-check
// wavekv behind the protocol of json-lines.mjs, driven as the engine drives it: prefill in chunks, one decode entry a
// step, segments built when a step has completed them. Needs dist/ (npm run build).
import { closeSync, openSync, writeSync } from "node:fs";
import { loadModel } from "../../dist/engine/load.js";
import { PREFILL_CHUNK_TOKENS } from "../../dist/engine/options.js";
import { engineOptions } from "./engine-options.mjs";
import { serveJsonLines } from "./json-lines.mjs";

const GREEDY = { temperature: 0, topP: 1, topK: 0, minP: 0 };

/** @type {import("../../dist/engine/load.js").LoadedModel} */
let model;
/** @typedef {import("../../dist/kvcache/kv-cache.js").KvLease} KvLease */

/** @type {KvLease | null} */
let lease = null;
/** What decodes from the prompt, by kind of attention; the prompt's segments are shared. @type {Record<string, KvLease>} */
let forks = {};
let contextTokens = 0;
let indexBuildMs = 0;

/** @param {KvLease | null | undefined} of @param {number[]} tokens @param {{ decode: boolean, wave: boolean, wantsLogits: boolean }} entry */
function step(of, tokens, entry) {
  if (!of) throw new Error("reset first");
  const { sequence } = of;
  const { retrievalBudget } = model.wave;
  const ids = Int32Array.from(tokens);
  model.runner.run([{ sequence, tokens: ids, retrievalBudget, ...entry }]);
  const start = performance.now();
  model.kvCache.append(of, ids);
  indexBuildMs += performance.now() - start;
}

/** @param {number[]} tokens @param {number} [markTokens] @returns {number | null} when so many were done, in ms */
function prefill(tokens, markTokens) {
  let mark = null;
  for (let at = 0; at < tokens.length; at += PREFILL_CHUNK_TOKENS) {
    if (at === markTokens) mark = performance.now();
    const chunk = tokens.slice(at, at + PREFILL_CHUNK_TOKENS);
    step(lease, chunk, { decode: false, wave: false, wantsLogits: at + chunk.length === tokens.length });
  }
  return mark;
}

function dropForks() {
  for (const fork of Object.values(forks)) {
    for (const slot of fork.slots.slice(lease?.slots.length)) model.kvCache.controlPlane.releaseSegment(slot);
    fork.sequence.dispose();
  }
  forks = {};
}

function topToken() {
  return model.native.sample(0, GREEDY, 0);
}

await serveJsonLines({
  load({ modelPath, numThreads, ropeScale, ...options }) {
    contextTokens = options.contextTokens;
    // One for the prompt and two for its forks, which may complete segments of their own.
    model = loadModel({ ...engineOptions({ modelPath, numThreads, contextTokens, ropeScale }), maxParallel: 3 });
    return { ...model.info, wave: model.wave, usableContext: model.modelInfo.usableContext };
  },

  reset() {
    dropForks();
    if (lease) model.kvCache.release(lease);
    lease = model.kvCache.tryLease(contextTokens);
    if (!lease) throw new Error(`no room for a sequence of ${contextTokens} tokens`);
    return {};
  },

  prefill({ tokens, markTokens }) {
    indexBuildMs = 0;
    const start = performance.now();
    const mark = prefill(tokens, markTokens);
    const ms = performance.now() - start;
    return { ms, markMs: mark === null ? null : mark - start, indexBuildMs, topToken: topToken() };
  },

  fork() {
    dropForks();
    const prompt = lease;
    if (!prompt) throw new Error("reset first");
    for (const attention of ["full", "wave"]) {
      forks[attention] = { ...prompt, sequence: prompt.sequence.fork(), slots: [...prompt.slots] };
    }
    return {};
  },

  decode({ tokens, attention }) {
    const ms = [];
    const topTokens = [];
    const before = { ...model.runner.phaseMs };
    for (const token of tokens) {
      const start = performance.now();
      step(forks[attention], [token], { decode: true, wave: attention === "wave", wantsLogits: true });
      ms.push(performance.now() - start);
      topTokens.push(topToken());
    }
    const phaseMs = Object.entries(model.runner.phaseMs).map(([phase, total]) => [
      phase,
      total - (Reflect.get(before, phase) ?? 0),
    ]);
    return { ms, topTokens, phaseMs: Object.fromEntries(phaseMs) };
  },

  logits({ tokens, numPrefill, outPath }) {
    const out = openSync(outPath, "w");
    prefill(tokens.slice(0, numPrefill));
    for (const token of tokens.slice(numPrefill)) {
      step(lease, [token], { decode: true, wave: false, wantsLogits: true });
      writeSync(out, model.native.logits(0));
    }
    closeSync(out);
    return {};
  },
});
