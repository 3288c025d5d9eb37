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
/** @type {import("../../dist/kvcache/kv-cache.js").KvLease | null} */
let lease = null;
let contextTokens = 0;

/** @param {number[]} tokens @param {{ decode: boolean, wave: boolean, wantsLogits: boolean }} entry */
function step(tokens, entry) {
  if (!lease) throw new Error("reset first");
  const { sequence } = lease;
  const { retrievalBudget } = model.wave;
  const ids = Int32Array.from(tokens);
  model.runner.run([{ sequence, tokens: ids, retrievalBudget, ...entry }]);
  model.kvCache.append(lease, ids);
}

/** @param {number[]} tokens */
function prefill(tokens) {
  for (let at = 0; at < tokens.length; at += PREFILL_CHUNK_TOKENS) {
    const chunk = tokens.slice(at, at + PREFILL_CHUNK_TOKENS);
    step(chunk, { decode: false, wave: false, wantsLogits: at + chunk.length === tokens.length });
  }
}

function topToken() {
  return model.native.sample(0, GREEDY, 0);
}

await serveJsonLines({
  load({ modelPath, numThreads, ...options }) {
    contextTokens = options.contextTokens;
    model = loadModel(engineOptions({ modelPath, numThreads, contextTokens }));
    return { ...model.info, wave: model.wave, usableContext: model.modelInfo.usableContext };
  },

  reset() {
    if (lease) model.kvCache.release(lease);
    lease = model.kvCache.tryLease(contextTokens);
    if (!lease) throw new Error(`no room for a sequence of ${contextTokens} tokens`);
    return {};
  },

  prefill({ tokens }) {
    const start = performance.now();
    prefill(tokens);
    return { ms: performance.now() - start, topToken: topToken() };
  },

  decode({ tokens, attention }) {
    const ms = [];
    const topTokens = [];
    for (const token of tokens) {
      const start = performance.now();
      step([token], { decode: true, wave: attention === "wave", wantsLogits: true });
      ms.push(performance.now() - start);
      topTokens.push(topToken());
    }
    return { ms, topTokens };
  },

  logits({ tokens, numPrefill, outPath }) {
    const out = openSync(outPath, "w");
    prefill(tokens.slice(0, numPrefill));
    for (const token of tokens.slice(numPrefill)) {
      step([token], { decode: true, wave: false, wantsLogits: true });
      writeSync(out, model.native.logits(0));
    }
    closeSync(out);
    return {};
  },
});
