// @ts-check
// One depth of bench/decode: what both engines run, and what was measured.

/**
 * @typedef {import("./worker-process.mjs").WorkerProcess} WorkerProcess
 *
 * @typedef {object} Stage
 * @property {number} depth as asked for, in tokens
 * @property {number[]} prefill the prompt whose prefill is timed
 * @property {number[]} prompt what is in the KV cache when decode starts: the same, but one token at depth 0
 * @property {number[]} completion tokens to decode: the greedy completion of `prompt` by the engine, which is not timed
 *
 * @typedef {object} StageTimes
 * @property {number[]} prefillMs one a round
 * @property {number[]} fullMs one a token of every round
 * @property {number[]} waveMs the same; none of llama.cpp
 */

/** @returns {StageTimes} */
export function noTimes() {
  return { prefillMs: [], fullMs: [], waveMs: [] };
}

/** @param {WorkerProcess} worker @param {Stage} stage @param {StageTimes} times @returns {Promise<number>} top token */
async function prefill(worker, stage, times) {
  await worker.reset();
  const { ms, topToken } = await worker.prefill(stage.prefill);
  times.prefillMs.push(ms);
  if (stage.prefill === stage.prompt) return topToken;
  await worker.reset();
  return (await worker.prefill(stage.prompt)).topToken;
}

/**
 * Prefill, then half of the completion with full attention and half with wave. Throws where the timed full attention
 * does not predict the completion token for token.
 *
 * @param {WorkerProcess} worker
 * @param {Stage} stage
 * @param {StageTimes} times
 */
export async function runWavekv(worker, stage, times) {
  const half = stage.completion.length >> 1;
  const first = await prefill(worker, stage, times);
  const full = await worker.decode(stage.completion.slice(0, half), "full");
  const wave = await worker.decode(stage.completion.slice(half), "wave");
  times.fullMs.push(...full.ms);
  times.waveMs.push(...wave.ms);
  const predicted = [first, ...full.topTokens];
  const wrong = predicted.findIndex((token, index) => token !== stage.completion[index]);
  if (wrong >= 0) {
    throw new Error(
      `depth ${stage.depth}: token ${wrong} of the timed run is ${predicted[wrong]}, ` +
        `of the engine's run ${stage.completion[wrong]}`,
    );
  }
}

/**
 * Prefill and the whole completion. Returns at how many tokens llama.cpp's own choice is the completion's.
 *
 * @param {WorkerProcess} worker
 * @param {Stage} stage
 * @param {StageTimes} times
 */
export async function runReference(worker, stage, times) {
  const first = await prefill(worker, stage, times);
  const { ms, topTokens } = await worker.decode(stage.completion, "full");
  times.fullMs.push(...ms);
  const predicted = [first, ...topTokens];
  return stage.completion.filter((token, index) => token === predicted[index]).length;
}
