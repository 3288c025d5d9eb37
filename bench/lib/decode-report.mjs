// @ts-check
import { median } from "./statistics.mjs";
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
 * @property {{ wavekv: StageTimes, reference: StageTimes }} times in milliseconds, as measured
 */

/**
 * @param {{ stage: Stage, wavekv: StageTimes, reference: StageTimes, agreeing: number[] }} run
 * @returns {StageResult}
 */
export function stageResult({ stage, wavekv, reference, agreeing }) {
  /** @param {number[]} ms @param {number} tokens */
  const speed = (ms, tokens) => (1000 * tokens) / median(ms);
  return {
    depth: stage.depth,
    prefillTokens: stage.prefill.length,
    contextTokens: stage.prompt.length,
    decodedTokens: stage.completion.length,
    agreement: median(agreeing) / stage.completion.length,
    prefill: {
      wavekv: speed(wavekv.prefillMs, stage.prefill.length),
      reference: speed(reference.prefillMs, stage.prefill.length),
    },
    decode: { wave: speed(wavekv.waveMs, 1), full: speed(wavekv.fullMs, 1), reference: speed(reference.fullMs, 1) },
    times: { wavekv, reference },
  };
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
 * @param {{ date: string, hardware: ReturnType<typeof import("./hardware.mjs").describeHardware>, model: { name: string,
 *   sizeBytes: number, sha256: string }, settings: { numThreads: number, rounds: number, decodeTokens: number },
 *   engines: { wavekv: Record<string, any>, reference: Record<string, any> }, stages: StageResult[] }} run
 */
export function decodeReport({ date, hardware, model, settings, engines, stages }) {
  const shortened = stages.find((stage) => stage.contextTokens < stage.depth);
  const { retrievalBudget, segmentTokens } = engines.wavekv.wave;
  return `# Decode and prefill, wavekv beside llama.cpp

${decodeTable(stages)}

- Model: ${model.name}, ${model.sizeBytes.toLocaleString("en")} bytes, sha256 \`${model.sha256}\`; both engines read the same file.
- Hardware: ${hardware.cpu}, ${hardware.numCpus} CPUs, ${hardware.memoryGiB} GiB, SIMD level ${hardware.simdLevel}; ${hardware.system}; Node ${hardware.node}.
- Date: ${date}. ${settings.numThreads} threads each; ${settings.rounds} rounds, the engines in turn at each depth, one at a time; medians.
- llama.cpp: ${engines.reference.release} (${engines.reference.system}), flash attention, f16 KV, micro batch 512.
- wavekv: wave with its default retrieval budget of ${100 * retrievalBudget} % and segments of ${segmentTokens.toLocaleString("en")} tokens; the index build is part of
  prefill. Where there is no segment yet, wave is full attention.
- Prefill is the whole prompt of the depth (512 tokens at depth 0)${shortened ? shorteningNote(shortened) : ""}.
- Decode is the forward pass of one token, sampling left out: ${settings.decodeTokens} tokens with full attention, then ${settings.decodeTokens} with wave, llama.cpp all of them.
  They are the greedy completion that wavekv's engine gives untimed; the timed full attention predicted it token for token in every
  round, llama.cpp's choice was the same at ${stages.map(({ agreement }) => `${(100 * agreement).toFixed(0)} %`).join(", ")} of the tokens. Nothing is random: there is no seed.
`;
}

/** @param {StageResult} stage */
function shorteningNote({ depth, contextTokens }) {
  return `; depth ${depth.toLocaleString("en")} stands for a prompt of ${contextTokens.toLocaleString("en")} tokens, so that decode ends where the model's context does`;
}
