// @ts-check
// Wave against full attention after the same prompt, teacher-forced: text and needles.
import { argmax, klDivergence, logSoftmax } from "../lib/distributions.mjs";
import { mean } from "../lib/statistics.mjs";
import { askNeedle } from "./needles.mjs";

/** @typedef {import("../../dist/native/addon.js").NativeSequence} NativeSequence */
/** @typedef {import("../../dist/native/addon.js").NativeZones} NativeZones */
/** @typedef {import("./kv-dump.mjs").LoadedModel} LoadedModel */
/** @typedef {number | null} Budget share of clusters retrieved; null is full attention */

/**
 * @param {NativeSequence} sequence
 * @param {number} token
 * @param {Budget} budget
 */
function decodeEntry(sequence, token, budget) {
  return {
    sequence,
    tokens: Int32Array.of(token),
    decode: true,
    wave: budget !== null,
    retrievalBudget: budget ?? 0,
    wantsLogits: true,
  };
}

/**
 * Decodes the tokens from a fork of the prompt for each budget, all budgets in one batch.
 *
 * @param {LoadedModel} model
 * @param {NativeSequence} prompt
 * @param {Int32Array} tokens
 * @param {readonly Budget[]} budgets those of full attention last
 * @param {(position: number, budgetIndex: number, logits: Float32Array) => void} onLogits after the token at position
 * @returns {NativeZones[]} of each budget
 */
function decodeForks(model, prompt, tokens, budgets, onLogits) {
  const forks = budgets.map((budget) => ({ budget, sequence: prompt.fork() }));
  try {
    tokens.forEach((token, position) => {
      model.runner.run(forks.map(({ sequence, budget }) => decodeEntry(sequence, token, budget)));
      forks.forEach((_, i) => {
        onLogits(position, i, model.native.logits(i));
      });
    });
    return forks.map(({ sequence }) => sequence.zones());
  } finally {
    for (const { sequence } of forks) sequence.dispose();
  }
}

/**
 * Log-probabilities of full attention after each token.
 *
 * @param {LoadedModel} model
 * @param {NativeSequence} prompt
 * @param {Int32Array} tokens
 */
export function referenceText(model, prompt, tokens) {
  /** @type {Float64Array[]} */
  const rows = [];
  decodeForks(model, prompt, tokens, [null], (_position, _budget, logits) => rows.push(logSoftmax(logits)));
  return rows;
}

/**
 * @param {LoadedModel} model
 * @param {NativeSequence} prompt
 * @param {Int32Array} tokens
 * @param {readonly Float64Array[]} reference of referenceText()
 * @param {readonly number[]} budgets
 */
export function compareText(model, prompt, tokens, reference, budgets) {
  const results = budgets.map((budget) => ({ budget, divergences: /** @type {number[]} */ ([]), agreeing: 0 }));
  const zones = decodeForks(model, prompt, tokens, budgets, (position, i, logits) => {
    const wanted = /** @type {Float64Array} */ (reference[position]);
    const got = logSoftmax(logits);
    const result = /** @type {(typeof results)[0]} */ (results[i]);
    result.divergences.push(klDivergence(wanted, got));
    if (argmax(wanted) === argmax(got)) result.agreeing++;
  });
  return results.map(({ budget, divergences, agreeing }, i) => ({
    budget,
    kl: mean(divergences),
    largestKl: Math.max(...divergences),
    top1: agreeing / tokens.length,
    ...zoneShares(/** @type {NativeZones} */ (zones[i])),
  }));
}

/**
 * What the decode steps read, as shares of the f16 keys and values, and where their attention mass lay.
 *
 * @param {NativeZones} zones
 */
function zoneShares(zones) {
  const beyondTail = zones.indexBytes + zones.retrievalBytes + zones.estimationBytes;
  return {
    bytes: (zones.steadyBytes + beyondTail) / zones.fullBytes,
    bytesBeyondTail: beyondTail / (zones.fullBytes - zones.steadyBytes),
    steadyMass: zones.steadyMass / zones.queryHeads,
    retrievalMass: zones.retrievalMass / zones.queryHeads,
    estimationMass: zones.estimationMass / zones.queryHeads,
    unattendedMass: zones.unattendedMass / zones.queryHeads,
  };
}

/**
 * Asks for every needle after the prompt. Question and answer are decoded, not prefilled, so that all of both is
 * approximated. A needle is found where greedy decoding gives the planted number.
 *
 * @param {LoadedModel} model
 * @param {NativeSequence} prompt
 * @param {import("./needles.mjs").Tokenizer} tokenizer
 * @param {readonly import("./needles.mjs").Needle[]} needles
 * @param {Budget} budget
 */
export function findNeedles(model, prompt, tokenizer, needles, budget) {
  const asked = needles.map((needle) => ({ ...askNeedle(tokenizer, needle), right: 0, sequence: prompt.fork() }));
  try {
    for (let position = 0; ; position++) {
      const running = asked.filter(({ tokens }) => position + 1 < tokens.length);
      if (running.length === 0) break;
      model.runner.run(running.map((one) => decodeEntry(one.sequence, one.tokens[position] ?? 0, budget)));
      running.forEach((one, entry) => {
        if (position + 1 < one.answerFrom) return;
        if (argmax(Float64Array.from(model.native.logits(entry))) === one.tokens[position + 1]) one.right++;
      });
    }
  } finally {
    for (const { sequence } of asked) sequence.dispose();
  }
  const lengths = asked.map(({ tokens, answerFrom }) => tokens.length - answerFrom);
  return {
    needles: asked.length,
    found: asked.filter(({ right }, i) => right === lengths[i]).length,
    digits: lengths.reduce((sum, length) => sum + length, 0),
    digitsRight: asked.reduce((sum, { right }) => sum + right, 0),
  };
}
