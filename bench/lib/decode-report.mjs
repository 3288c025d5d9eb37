// @ts-check
import { aimTable } from "./aims.mjs";
import { MARK_TOKENS } from "./decode-stage.mjs";
import { mean, median } from "./statistics.mjs";
import { markdownTable } from "./table.mjs";

/**
 * @typedef {import("./decode-stage.mjs").Stage} Stage
 * @typedef {import("./decode-stage.mjs").StageTimes} StageTimes
 *
 * @typedef {object} StageResult
 * @property {number} depth
 * @property {number} prefillTokens
 * @property {number} contextTokens in the KV cache when decode starts
 * @property {number} decodedTokens of both engines, in each round
 * @property {number} agreement share of decoded tokens at which llama.cpp chose as wavekv did, 0..1
 * @property {{ wavekv: number, reference: number }} prefill tokens/s, medians of the rounds
 * @property {{ wave: number, full: number, reference: number }} decode tokens/s, medians of all tokens
 * @property {number} ropeScale
 * @property {{ wavekv: number, reference: number } | null} mark tokens/s of the prompt's first MARK_TOKENS
 * @property {number} indexShare of the index build in prefill, 0..1
 * @property {number | null} controlShare of a wave step: control plane and what is in no phase, 0..1; null without segments
 * @property {{ wavekv: StageTimes, reference: StageTimes }} times in milliseconds, as measured
 */

/**
 * @param {Stage} stage
 * @param {import("./decode-stage.mjs").StageRun} run
 * @returns {StageResult}
 */
export function stageResult(stage, { wavekv, reference, agreeing }) {
  /** @param {number[]} ms @param {number} tokens */
  const speed = (ms, tokens) => (1000 * tokens) / median(ms);
  return {
    depth: stage.depth,
    prefillTokens: stage.prefill.length,
    contextTokens: stage.prompt.length,
    ropeScale: stage.ropeScale,
    decodedTokens: reference.fullMs.length,
    agreement: agreeing / reference.fullMs.length,
    mark:
      wavekv.markMs.length > 0
        ? { wavekv: speed(wavekv.markMs, MARK_TOKENS), reference: speed(reference.markMs, MARK_TOKENS) }
        : null,
    indexShare: mean(wavekv.indexBuildMs) / mean(wavekv.prefillMs),
    controlShare: controlShare(wavekv),
    prefill: {
      wavekv: speed(wavekv.prefillMs, stage.prefill.length),
      reference: speed(reference.prefillMs, stage.prefill.length),
    },
    decode: { wave: speed(wavekv.waveMs, 1), full: speed(wavekv.fullMs, 1), reference: speed(reference.fullMs, 1) },
    times: { wavekv, reference },
  };
}

/**
 * Share of the wave steps' time in the control plane, in crossings where they are a phase, and in none of the phases.
 *
 * @param {Pick<StageTimes, "waveMs" | "wavePhaseMs">} times
 */
export function controlShare({ waveMs, wavePhaseMs }) {
  const { lookup = 0, controlPlane = 0, crossing = 0, ...work } = wavePhaseMs;
  if (lookup + controlPlane === 0) return null;
  const total = waveMs.reduce((sum, ms) => sum + ms, 0);
  return 1 - Object.values(work).reduce((sum, ms) => sum + ms, 0) / total;
}

/** @param {readonly StageResult[]} stages */
export function decodeTable(stages) {
  const header = [
    "depth",
    "prefill: tokens",
    "wavekv tok/s",
    "llama.cpp tok/s",
    "ratio",
    "decode: wave tok/s",
    "full tok/s",
    "llama.cpp tok/s",
    "wave ratio",
    "full ratio",
  ];
  return markdownTable(
    header,
    stages.map(({ depth, prefillTokens, prefill, decode }) => [
      depth.toLocaleString("en"),
      prefillTokens.toLocaleString("en"),
      prefill.wavekv.toFixed(0),
      prefill.reference.toFixed(0),
      `${(prefill.wavekv / prefill.reference).toFixed(2)} x`,
      decode.wave.toFixed(1),
      decode.full.toFixed(1),
      decode.reference.toFixed(1),
      `${(decode.wave / decode.reference).toFixed(2)} x`,
      `${(decode.full / decode.reference).toFixed(2)} x`,
    ]),
  );
}

/**
 * @param {{ date: string, revision: string, hardware: ReturnType<typeof import("./hardware.mjs").describeHardware>,
 *   model: { name: string, sizeBytes: number, sha256: string }, settings: { numThreads: number, rounds: number,
 *   prefillRounds: number, decodeTokens: number }, engines: { wavekv: Record<string, any>, reference: Record<string, any> },
 *   stages: StageResult[] }} run
 * @param {string} quality table of the wave settings' fidelity, or why there is none
 */
export function decodeReport({ date, revision, hardware, model, settings, engines, stages }, quality) {
  const { retrievalBudget, segmentTokens } = engines.wavekv.wave;
  return `# Decode and prefill, wavekv beside llama.cpp: ${model.name}

${decodeTable(stages)}

${aimTable(model.name, stages)}

Quality of wave with the same build and settings:

${quality}

- Model: ${model.name}, ${model.sizeBytes.toLocaleString("en")} bytes, sha256 \`${model.sha256}\`; both engines read the same file.
- Hardware: ${hardware.cpu}, ${hardware.numCpus} CPUs, ${hardware.memoryGiB} GiB, SIMD level ${hardware.simdLevel}; ${hardware.system}; Node ${hardware.node}.
- Date: ${date}, revision ${revision}. ${settings.numThreads} threads each; the engines in turn at each depth, one at a time; medians.
- llama.cpp: ${engines.reference.release} (${engines.reference.system}), flash attention, f16 KV, micro batch 512.
- wavekv: wave with its default retrieval budget of ${100 * retrievalBudget} % and segments of ${segmentTokens.toLocaleString("en")} tokens; the index build is part of
  prefill. Where there is no segment yet, wave is full attention.
- Prefill is the whole prompt of the depth (512 tokens at depth 0): ${settings.prefillRounds} rounds, one at depths over 8K. The 30K prompt is the
  first ${MARK_TOKENS.toLocaleString("en")} tokens of the deepest.
${stages.map(stageNotes).join("")}- Decode is the forward pass of one token, sampling left out: ${settings.rounds} rounds of ${settings.decodeTokens} tokens for full attention, for wave and for llama.cpp.
  wavekv's are the greedy completions, full and wave, that its engine gives untimed, predicted token for token by the timed
  steps, else the run fails. llama.cpp decodes full attention's; its own choice was the same at
  ${stages.map(({ agreement }) => `${(100 * agreement).toFixed(0)} %`).join(", ")} of the tokens. Nothing is random: there is no seed.
`;
}

/** @param {StageResult} stage */
function stageNotes({ depth, contextTokens, ropeScale, times }) {
  const notes = [];
  const named = depth.toLocaleString("en");
  if (contextTokens < depth)
    notes.push(
      `- Depth ${named} stands for a prompt of ${contextTokens.toLocaleString("en")} tokens, so that decode ends where the context does.`,
    );
  if (ropeScale !== 1)
    notes.push(
      `- Depth ${named} stretches positions by ${ropeScale}, linearly, in both engines: past the model's context, a speed figure only.`,
    );
  if (times.reference.prefillDate)
    notes.push(
      `- llama.cpp's prefill at depth ${named} was timed on ${times.reference.prefillDate} and its KV cache kept.`,
    );
  return notes.map((note) => `${note}\n`).join("");
}
