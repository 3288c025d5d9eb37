// @ts-check
// What speed must show, by model, and whether it was met.
import { markdownTable } from "./table.mjs";

/** @typedef {import("./decode-report.mjs").StageResult} StageResult */

/**
 * Depths are as asked for; `least` or `most` bounds the value; null: no aim for this model.
 *
 * @type {readonly { measure: string, smollm2: number | null, qwen: number | null, atMost?: true, share?: true,
 *   of: (at: (depth: number) => StageResult | undefined) => number | undefined }[]}
 */
const AIMS = [
  { measure: "decode, empty cache", smollm2: 1.5, qwen: 1.3, of: (at) => ratio(at(0)?.decode, "wave") },
  { measure: "decode at 8K, wave", smollm2: 8, qwen: 3, of: (at) => ratio(at(8192)?.decode, "wave") },
  { measure: "decode at 32K, wave", smollm2: 15, qwen: 7, of: (at) => ratio(at(32768)?.decode, "wave") },
  { measure: "prefill of a 30K prompt, whole", smollm2: null, qwen: 4, of: (at) => ratio(at(32768)?.mark, "wavekv") },
  { measure: "decode at 8K, exact", smollm2: 3, qwen: 1.8, of: (at) => ratio(at(8192)?.decode, "full") },
  { measure: "flatness: decode at 32K / at 0, wave", smollm2: 0.6, qwen: 0.8, of: flatness },
  {
    measure: "prefill of an 8K prompt, index build included",
    smollm2: 6,
    qwen: 4,
    of: (at) => ratio(at(8192)?.prefill, "wavekv"),
  },
  {
    measure: "index build, share of prefill (8K)",
    smollm2: 0.05,
    qwen: 0.05,
    atMost: true,
    share: true,
    of: (at) => at(8192)?.indexShare,
  },
  {
    measure: "control plane and crossing, share of a wave step (8K)",
    smollm2: 0.05,
    qwen: 0.03,
    atMost: true,
    share: true,
    of: (at) => at(8192)?.controlShare ?? undefined,
  },
];

/** @param {Record<string, number> | null | undefined} speeds @param {string} ours */
function ratio(speeds, ours) {
  return speeds ? Number(speeds[ours]) / Number(speeds.reference) : undefined;
}

/** @param {(depth: number) => StageResult | undefined} at */
function flatness(at) {
  const deep = at(32768);
  const empty = at(0);
  return deep && empty && deep.decode.wave / empty.decode.wave;
}

/**
 * One row for each aim whose depths were measured: measure, aim, measured, whether it was met.
 *
 * @param {string} modelName
 * @param {readonly StageResult[]} stages
 */
export function aimRows(modelName, stages) {
  const model = modelName.startsWith("qwen") ? "qwen" : "smollm2";
  /** @param {number} depth */
  const at = (depth) => stages.find((stage) => stage.depth === depth);
  return AIMS.flatMap(({ measure, atMost, share, of, ...aims }) => {
    const value = of(at);
    if (value === undefined) return [];
    const aim = aims[model];
    /** @param {number} number */
    const shown = (number) => (share ? `${(100 * number).toFixed(1)} %` : `${number.toFixed(2)} x`);
    const met = aim === null ? "" : (atMost ? value <= aim : value >= aim) ? "yes" : "no";
    return [[measure, aim === null ? "-" : `${atMost ? "<=" : ">="} ${shown(aim)}`, shown(value), met]];
  });
}

/** @param {string} modelName @param {readonly StageResult[]} stages */
export function aimTable(modelName, stages) {
  return markdownTable(["measure", "aim", "measured", "met"], aimRows(modelName, stages));
}
