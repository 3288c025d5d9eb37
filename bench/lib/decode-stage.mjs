// @ts-check
// One depth of bench/decode: what both engines run, and what was measured.

/**
 * @typedef {import("./worker-process.mjs").WorkerProcess} WorkerProcess
 *
 * @typedef {object} Stage
 * @property {number} depth as asked for, in tokens
 * @property {number} ropeScale linear, of both engines
 * @property {number[]} prefill the prompt whose prefill is timed
 * @property {number[]} prompt what is in the KV cache when decode starts: the same, but one token at depth 0
 * @property {{ full: number[], wave: number[] }} completions greedy ones of `prompt` by the engine, which are not timed:
 *   the tokens of all rounds
 * @property {string} [statePath] where llama.cpp's KV cache of the prompt is kept between runs
 *
 * @typedef {object} StageTimes
 * @property {number[]} prefillMs one a round
 * @property {number[]} markMs the same, of the prompt's first MARK_TOKENS where it is longer
 * @property {number[]} indexBuildMs the same, of the index build; wavekv's
 * @property {number[]} fullMs one a token of every round
 * @property {number[]} waveMs the same; none of llama.cpp
 * @property {Record<string, number>} wavePhaseMs by phase, of all wave tokens
 * @property {string | null} prefillDate when the prefill was timed, where not in this run
 *
 * @typedef {{ wavekv: StageTimes, reference: StageTimes, agreeing: number }} StageRun
 */

/** "A prompt of 30K tokens": its time is read in the prefill of a longer one. A multiple of both engines' chunks. */
export const MARK_TOKENS = 30_720;

/** @returns {StageTimes} */
function noTimes() {
  return {
    prefillMs: [],
    markMs: [],
    indexBuildMs: [],
    fullMs: [],
    waveMs: [],
    wavePhaseMs: {},
    prefillDate: null,
  };
}

/** @param {WorkerProcess} worker @param {Stage} stage @param {StageTimes} times @param {string} [statePath] @returns {Promise<number>} top token */
async function prefill(worker, stage, times, statePath) {
  await worker.reset();
  const { ms, markMs, indexBuildMs, date, topToken } = await worker.prefill(stage.prefill, {
    markTokens: MARK_TOKENS,
    statePath,
  });
  times.prefillMs.push(ms);
  if (markMs !== null) times.markMs.push(markMs);
  if (indexBuildMs !== undefined) times.indexBuildMs.push(indexBuildMs);
  times.prefillDate = date ?? null;
  if (stage.prefill === stage.prompt) return topToken;
  await worker.reset();
  return (await worker.prefill(stage.prompt)).topToken;
}

/**
 * Prefill rounds, then decode rounds that go on where the last one ended; within each the engines take turns, one at a
 * time. Throws where wavekv, timed, does not predict its untimed completions token for token.
 *
 * @param {WorkerProcess} wavekv
 * @param {WorkerProcess} reference
 * @param {Stage} stage
 * @param {{ rounds: number, prefillRounds: number, tokens: number }} settings
 * @param {(text: string) => void} say
 * @returns {Promise<StageRun>}
 */
export async function runStage(wavekv, reference, stage, { rounds, prefillRounds, tokens }, say) {
  const run = { wavekv: noTimes(), reference: noTimes(), agreeing: 0 };
  const next = { full: -1, wave: -1, reference: -1 };
  for (let round = 0; round < prefillRounds; round++) {
    say(`depth ${stage.depth}, prefill ${round + 1} of ${prefillRounds} ...`);
    await inTurn(round, [
      async () => {
        next.full = next.wave = await prefill(wavekv, stage, run.wavekv);
      },
      async () => {
        next.reference = await prefill(reference, stage, run.reference, stage.statePath);
      },
    ]);
  }
  await wavekv.fork();
  /** @param {"full" | "wave"} attention @param {number} from */
  const decode = async (attention, from) => {
    const expected = stage.completions[attention].slice(from, from + tokens);
    const { ms, topTokens, phaseMs } = await wavekv.decode(expected, attention);
    next[attention] = checkTokens(stage.depth, attention, expected, [next[attention], ...topTokens]);
    run.wavekv[`${attention}Ms`].push(...ms);
    if (attention === "wave") addTo(run.wavekv.wavePhaseMs, phaseMs ?? {});
  };
  for (let round = 0; round < rounds; round++) {
    say(`depth ${stage.depth}, decode ${round + 1} of ${rounds} ...`);
    const from = round * tokens;
    await inTurn(round, [
      () => decode("full", from),
      () => decode("wave", from),
      async () => {
        const given = stage.completions.full.slice(from, from + tokens);
        const { ms, topTokens } = await reference.decode(given, "full");
        run.reference.fullMs.push(...ms);
        const predicted = [next.reference, ...topTokens];
        run.agreeing += given.filter((token, index) => token === predicted[index]).length;
        next.reference = predicted.at(-1) ?? -1;
      },
    ]);
  }
  return run;
}

/** Every second round in the reverse order. @param {number} round @param {(() => Promise<void>)[]} turns */
async function inTurn(round, turns) {
  for (const turn of round % 2 === 1 ? turns.toReversed() : turns) await turn();
}

/**
 * Returns the prediction after the expected tokens; throws where an expected one was not predicted.
 *
 * @param {number} depth
 * @param {string} attention
 * @param {readonly number[]} expected
 * @param {readonly number[]} predicted one more than the expected
 */
export function checkTokens(depth, attention, expected, predicted) {
  const wrong = expected.findIndex((token, index) => token !== predicted[index]);
  if (wrong >= 0) {
    throw new Error(
      `depth ${depth}, ${attention}: token ${wrong} of the timed round is ${predicted[wrong]}, ` +
        `of the engine's run ${expected[wrong]}`,
    );
  }
  return predicted[expected.length] ?? -1;
}

/** @param {Record<string, number>} sums @param {Record<string, number>} values */
function addTo(sums, values) {
  for (const [name, value] of Object.entries(values)) sums[name] = (sums[name] ?? 0) + value;
}
