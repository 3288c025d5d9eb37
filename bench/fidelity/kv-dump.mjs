// @ts-check
// Keys and values of a prompt, prefilled once and then given to runners of any index setting: a setting costs its
// clustering only. Between two chunks a runner gets what its own prefill would have had, the query metric's sums included.
import { PREFILL_CHUNK_TOKENS } from "../../dist/engine/options.js";

/** @typedef {import("../../dist/engine/load.js").LoadedModel} LoadedModel */
/** @typedef {import("../../dist/kvcache/kv-cache.js").KvLease} KvLease */
/** @typedef {{ keysAndValues: Uint16Array, querySquares: Float32Array }} KvChunk see NativeSequence; sums at the chunk's end */

/**
 * Prefills tokens into a lease, segments included.
 *
 * @param {LoadedModel} model
 * @param {KvLease} lease
 * @param {Int32Array} tokens
 * @param {(done: number) => void} [onProgress]
 * @returns {Float32Array[]} the query sums after each chunk
 */
export function prefill(model, lease, tokens, onProgress) {
  const { sequence } = lease;
  const sums = [];
  for (let first = 0; first < tokens.length; first += PREFILL_CHUNK_TOKENS) {
    const chunk = tokens.subarray(first, Math.min(tokens.length, first + PREFILL_CHUNK_TOKENS));
    const entry = { sequence, tokens: chunk, decode: false, wave: false, retrievalBudget: 0, wantsLogits: false };
    model.runner.run([entry]);
    sums.push(sequence.querySquares);
    model.kvCache.buildSegments(lease);
    onProgress?.(first + chunk.length);
  }
  return sums;
}

/**
 * @param {KvLease} lease
 * @param {readonly Float32Array[]} sums of prefill()
 * @returns {KvChunk[]}
 */
export function dumpTokens({ sequence }, sums) {
  return sums.map((querySquares, i) => {
    const first = i * PREFILL_CHUNK_TOKENS;
    const count = Math.min(PREFILL_CHUNK_TOKENS, sequence.numTokens - first);
    return { keysAndValues: sequence.readTokens(first, count), querySquares };
  });
}

/**
 * @param {LoadedModel} model
 * @param {KvLease} lease
 * @param {readonly KvChunk[]} chunks
 */
export function loadTokens(model, lease, chunks) {
  for (const { keysAndValues, querySquares } of chunks) {
    lease.sequence.appendTokens(keysAndValues);
    lease.sequence.querySquares = querySquares;
    model.kvCache.buildSegments(lease);
  }
}
