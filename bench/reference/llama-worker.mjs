// llama.cpp behind the protocol of lib/json-lines.mjs. It uses the package's bindings below its evaluation queue, so that a
// timed token is one llama_decode and nothing of JavaScript but the call. One libuv thread (see startReference): the
// library makes its compute threads from the calling one, which then stays the same.
import { closeSync, existsSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { getLlama } from "node-llama-cpp";
import { readGgufMetadata } from "../../dist/model/gguf-metadata.js";
import { serveJsonLines } from "../lib/json-lines.mjs";

/** Tokens of one llama_decode in prefill: llama.cpp's default micro batch. */
const BATCH_TOKENS = 512;
const SEQUENCE = 0;

/** @type {any} */
let bindings;
/** @type {any} */
let context;
/** @type {any} */
let greedy;
let numTokens = 0;

/** @param {number[]} tokens @returns {Promise<number>} index of the last token's logits */
async function evaluate(tokens) {
  context.initBatch(tokens.length);
  const [logitsIndex] = context.addToBatch(
    SEQUENCE,
    numTokens,
    Uint32Array.from(tokens),
    Uint32Array.of(tokens.length - 1),
  );
  await context.decodeBatch();
  numTokens += tokens.length;
  return logitsIndex;
}

let mark = 0;

/** @param {number[]} tokens @param {number} [markTokens] @returns {Promise<number>} index of the last token's logits */
async function evaluateAll(tokens, markTokens) {
  let logitsIndex = -1;
  for (let at = 0; at < tokens.length; at += BATCH_TOKENS) {
    if (at === markTokens) mark = performance.now();
    logitsIndex = await evaluate(tokens.slice(at, at + BATCH_TOKENS));
  }
  return logitsIndex;
}

/**
 * The factor is passed as a double just off a whole number, since the package takes whole numbers for integers, which
 * llama.cpp ignores here; in its float32 it is the factor.
 *
 * @param {string} modelPath @param {number} factor
 */
function ropeOverrides(modelPath, factor) {
  if (factor === 1) return undefined;
  const architecture = String(readGgufMetadata(modelPath).get("general.architecture"));
  return { [architecture]: { rope: { scaling: { type: "linear", factor: factor * (1 + 2 ** -40) } } } };
}

/** @param {number} logitsIndex @returns {Promise<Float32Array>} [vocabSize] */
async function readLogits(logitsIndex) {
  // Arguments: probabilities, confidence, logits. The answer's fourth element is token, logit, token, logit, ...
  const pairs = (await context.sampleToken(logitsIndex, greedy, false, false, true))[3];
  const logits = new Float32Array(pairs.length / 2);
  for (let i = 0; i < pairs.length; i += 2) logits[pairs[i]] = pairs[i + 1];
  return logits;
}

await serveJsonLines({
  async load({ modelPath, numThreads, contextTokens, ropeScale = 1 }) {
    const llama = await getLlama({ build: "never", skipDownload: true, gpu: false, logLevel: "error" });
    const model = await llama.loadModel({ modelPath, metadataOverrides: ropeOverrides(modelPath, ropeScale) });
    const made = await model.createContext({
      contextSize: contextTokens,
      batchSize: BATCH_TOKENS,
      flashAttention: true,
      threads: numThreads,
      sequences: 1,
    });
    ({ _bindings: bindings } = /** @type {any} */ (llama));
    context = /** @type {any} */ (made)._ctx;
    context.setThreads(numThreads);
    greedy = new bindings.AddonSampler(/** @type {any} */ (model)._model);
    greedy.applyConfig({ temperature: 0 });
    return {
      release: llama.llamaCppRelease.release,
      system: llama.systemInfo.trim(),
      numThreads: context.getThreads(),
    };
  },

  reset() {
    context.disposeSequence(SEQUENCE);
    numTokens = 0;
    return {};
  },

  async prefill({ tokens, markTokens, statePath }) {
    if (statePath && existsSync(`${statePath}.json`)) {
      await context.loadSequenceStateFromFile(statePath, SEQUENCE, tokens.length);
      numTokens = tokens.length;
      return JSON.parse(readFileSync(`${statePath}.json`, "utf8"));
    }
    const start = performance.now();
    const logitsIndex = await evaluateAll(tokens, markTokens);
    const ms = performance.now() - start;
    const answer = {
      ms,
      markMs: markTokens && markTokens < tokens.length ? mark - start : null,
      topToken: await context.sampleToken(logitsIndex, greedy),
    };
    if (statePath) {
      await context.saveSequenceStateToFile(statePath, SEQUENCE, Uint32Array.from(tokens));
      writeFileSync(`${statePath}.json`, JSON.stringify({ ...answer, date: new Date().toISOString().slice(0, 10) }));
    }
    return answer;
  },

  async decode({ tokens, attention }) {
    if (attention !== "full") throw new Error(`llama.cpp has no ${attention} attention`);
    const ms = [];
    const topTokens = [];
    for (const token of tokens) {
      const start = performance.now();
      const logitsIndex = await evaluate([token]);
      ms.push(performance.now() - start);
      topTokens.push(await context.sampleToken(logitsIndex, greedy));
    }
    return { ms, topTokens };
  },

  async logits({ tokens, numPrefill, outPath }) {
    const out = openSync(outPath, "w");
    if (numPrefill > 0) await evaluateAll(tokens.slice(0, numPrefill));
    for (const token of tokens.slice(numPrefill)) writeSync(out, await readLogits(await evaluate([token])));
    closeSync(out);
    return {};
  },
});
process.exit(0);
