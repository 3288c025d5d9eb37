// @ts-check

/**
 * Why a kernel stays under 70 % of its limit, where that is known. The first match counts.
 *
 * @type {readonly { matches: RegExp, why: string }[]}
 */
const REASONS = [
  {
    matches: /^small GEMM .*; (8|16) x/,
    why: "over 4 rows a panel is unpacked to bytes first, a fixed cost that so few rows do not repay",
  },
  { matches: /^GEMM Q6_K/, why: "scales for every 16 columns: 3 vector instructions to 4 products; unpacking" },
  { matches: /^GEMM/, why: "scales for every 32 columns: 3 or 4 vector instructions to 8 products; unpacking" },
  {
    matches: /^exact attention, f16/,
    why: "reading and arithmetic (f16 widened to f32) overlap only in part",
  },
  {
    matches: /^exact attention, q8/,
    why: "beside the products: bytes interleaved, weights rounded, exponentials",
  },
  {
    matches: /^gather-attend, f16/,
    why: "each cluster is a new place: no hardware prefetch, address translation",
  },
  {
    matches: /^gather-attend, q8/,
    why: "a new place each cluster, and what exact attention over q8 has beside the products",
  },
  {
    matches: /^centroid scoring/,
    why: "each segment's index is a new place in five arrays, and not asked for ahead",
  },
  { matches: /^estimation/, why: "scattered lines of one value sum each; weights rounded, exponentials" },
  {
    matches: /^k-means; 512/,
    why: "32 clusters fill half of a panel of 64; only assignments count as operations",
  },
  { matches: /^k-means/, why: "only assignments count as operations; start, means and splits are the rest" },
  { matches: /^sampling, greedy/, why: "compares one logit at a time" },
  { matches: /^sampling, top-p/, why: "sorts every logit within 30 temperatures of the top: nearly all" },
];

/** @param {{ kernel: string, shape: string, threads: number }} kernel @returns {string | undefined} */
export function reasonFor({ kernel, shape, threads }) {
  const name = `${kernel}; ${shape}; threads ${threads}`;
  return REASONS.find(({ matches }) => matches.test(name))?.why;
}
