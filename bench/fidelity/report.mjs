// @ts-check
// The tables of a fidelity run.
import { mean } from "../lib/statistics.mjs";
import { markdownTable } from "../lib/table.mjs";

/** @typedef {ReturnType<import("./subject.mjs").Subject["measure"]>[0] & { withFloor?: boolean }} Result */
/** @typedef {{ text: string, promptTokens: number, hash: string, full: ReturnType<typeof import("./evaluate.mjs").findNeedles> }} Prompt */

/**
 * DESIGN's best variant on Qwen2.5-Coder-0.5B, one document per length: share of f16 KV bytes read, and KL.
 *
 * @type {readonly { promptTokens: number, curve: readonly (readonly [number, number])[] }[]}
 */
const DESIGN = [
  {
    promptTokens: 8192,
    curve: [
      [0.059, 0.036],
      [0.096, 0.016],
      [0.15, 0.0079],
    ],
  },
  {
    promptTokens: 32768,
    curve: [
      [0.059, 0.0166],
      [0.096, 0.0048],
      [0.15, 0.0014],
    ],
  },
];

/**
 * DESIGN's KL at a share of bytes: log-linear between its points, and between its two lengths by the log of the length.
 * Null outside the shares that it measured.
 *
 * @param {number} promptTokens
 * @param {number} bytes
 */
export function designKl(promptTokens, bytes) {
  const logs = DESIGN.map(({ curve }) =>
    interpolate(
      curve.map(([share, kl]) => [share, Math.log(kl)]),
      bytes,
    ),
  );
  if (logs.some((log) => log === null)) return null;
  const at = Math.min(1, Math.max(0, Math.log2(promptTokens / 8192) / 2));
  return Math.exp(Number(logs[0]) * (1 - at) + Number(logs[1]) * at);
}

/** @param {readonly (readonly number[])[]} points @param {number} x */
function interpolate(points, x) {
  for (let i = 1; i < points.length; i++) {
    const [x0 = 0, y0 = 0] = points[i - 1] ?? [];
    const [x1 = 0, y1 = 0] = points[i] ?? [];
    if (x >= x0 && x <= x1) return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
  }
  return null;
}

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(1)} %`;
/** @param {number | null} kl */
const shownKl = (kl) => (kl === null ? "" : kl < 1e-6 ? kl.toExponential(0) : kl.toPrecision(2));
/** @param {Result} result */
const needles = (result) =>
  "found" in result ? [`${result.found}/${result.needles}`, `${result.digitsRight}/${result.digits}`] : ["", ""];

/**
 * Every budget on every prompt, without the floor of clusters, and the defaults with it.
 *
 * @param {boolean} hasDesign whether DESIGN measured this model
 * @param {readonly Prompt[]} prompts
 * @param {readonly Result[]} results
 */
export function budgetTable(hasDesign, prompts, results) {
  const header = [
    "prompt",
    "retrieved",
    "bytes",
    "beyond the tail",
    "KL",
    "DESIGN's KL",
    "top-1",
    "steady",
    "retrieved mass",
    "estimated",
    "unattended",
    "needles",
    "digits",
  ];
  const rows = prompts.flatMap((prompt) => {
    const name = `${prompt.text}, ${prompt.promptTokens}`;
    const of = results.filter((r) => r.text === prompt.text && r.promptTokens === prompt.promptTokens);
    const full = [
      name,
      "full",
      "100 %",
      "100 %",
      "0",
      "",
      "100 %",
      "1",
      "",
      "",
      "",
      `${prompt.full.found}/${prompt.full.needles}`,
      `${prompt.full.digitsRight}/${prompt.full.digits}`,
    ];
    return [
      full,
      ...of.map((r) => [
        name,
        r.withFloor ? "defaults" : percent(r.budget),
        percent(r.bytes),
        percent(r.bytesBeyondTail),
        shownKl(r.kl),
        hasDesign ? shownKl(designKl(r.promptTokens, r.bytesBeyondTail)) : "",
        percent(r.top1),
        ...[r.steadyMass, r.retrievalMass, r.estimationMass, r.unattendedMass].map((mass) => mass.toFixed(3)),
        ...needles(r),
      ]),
    ];
  });
  return markdownTable(header, rows);
}

/**
 * One change of the defaults at a time; KL per prompt, the rest over all prompts.
 *
 * @param {readonly Prompt[]} prompts
 * @param {readonly { name: string, results: readonly Result[] }[]} variants
 */
export function variantTable(prompts, variants) {
  const header = [
    "setting",
    "bytes",
    "beyond the tail",
    ...prompts.map((p) => `KL ${p.text}, ${p.promptTokens}`),
    "KL to defaults'",
    "top-1",
    "needles",
    "digits",
  ];
  const base = variants[0]?.results ?? [];
  const rows = variants.map(({ name, results }) => {
    // The geometric mean of the ratios: prompts with a large KL do not outweigh the others.
    const ratio = Math.exp(mean(results.map((r, i) => Math.log(r.kl / (base[i]?.kl ?? Number.NaN)))));
    /** @param {"found" | "needles" | "digitsRight" | "digits"} field */
    const sum = (field) => results.reduce((total, r) => total + (field in r ? Number(Reflect.get(r, field)) : 0), 0);
    return [
      name,
      percent(mean(results.map((r) => r.bytes))),
      percent(mean(results.map((r) => r.bytesBeyondTail))),
      ...results.map((r) => shownKl(r.kl)),
      ratio.toFixed(2),
      percent(mean(results.map((r) => r.top1))),
      `${sum("found")}/${sum("needles")}`,
      `${sum("digitsRight")}/${sum("digits")}`,
    ];
  });
  return markdownTable(header, rows);
}
