// @ts-check
// What is measured: prompts of each model, budgets with the defaults, and one change of the defaults at a time.

/** @typedef {import("./subject.mjs").Settings} Settings */

/** Prompt lengths leave a tail of 512 tokens with segments of 512, 1,024 or 2,048. @type {Record<string, { text: string, promptTokens: number }[]>} */
export const PROMPTS = {
  "smollm2-135m": [
    { text: "prose", promptTokens: 7680 },
    { text: "code", promptTokens: 7680 },
  ],
  "qwen2.5-coder-0.5b": [
    { text: "prose", promptTokens: 8704 },
    { text: "code", promptTokens: 8704 },
    { text: "manual", promptTokens: 16896 },
  ],
};

/** Measured without the floor of clusters, so that each is what it says. */
export const BUDGETS = [0.018, 0.05, 0.1, 0.2, 1];

/** @type {readonly { name: string, settings: Settings }[]} */
export const VARIANTS = [
  { name: "defaults", settings: {} },
  { name: "no variance term", settings: { varianceTerm: 0 } },
  { name: "variance term, full strength", settings: { varianceTerm: 1 } },
  { name: "ranked by mass", settings: { ranking: "mass" } },
  { name: "ranked by the centroids' softmax", settings: { ranking: "centroid" } },
  { name: "every other cluster estimated", settings: { estimationBudget: 1 } },
  { name: "no estimation zone", settings: { estimationBudget: 0 } },
  { name: "floor of 48 clusters", settings: { minClusters: 48 } },
  { name: "floor of 144 clusters", settings: { minClusters: 144 } },
  { name: "keys and values in f16", settings: { kvType: "f16" } },
  { name: "query metric, half strength", settings: { queryMetric: 0.5 } },
  { name: "query metric, full strength", settings: { queryMetric: 1 } },
  { name: "Euclidean clusters", settings: { sphericalClusters: false } },
  { name: "3 iterations", settings: { clusterIterations: 3 } },
  { name: "10 iterations", settings: { clusterIterations: 10 } },
  { name: "16 tokens a cluster, floor of 48", settings: { tokensPerCluster: 16, minClusters: 48 } },
  { name: "segments of 1,024 tokens", settings: { segmentTokens: 1024 } },
  { name: "segments of 2,048 tokens", settings: { segmentTokens: 2048 } },
  { name: "local window of 1,024 tokens", settings: { localWindow: 1024 } },
  {
    name: "as published (RetroInfer's read rules)",
    settings: {
      varianceTerm: 0,
      ranking: "centroid",
      minClusters: 1,
      retrievalBudget: 0.018,
      tokensPerCluster: 16,
      clusterIterations: 10,
    },
  },
];
