// @ts-check

/**
 * What measurements run the engine with: one sequence, nothing from earlier requests, every setting left to the engine.
 *
 * @param {{ modelPath: string, numThreads: number | null, contextTokens: number, ropeScale?: number }} model
 * @returns {import("../../dist/engine/options.js").EngineOptions}
 */
export function engineOptions({ modelPath, numThreads, contextTokens, ropeScale = 1 }) {
  return {
    modelPath,
    numThreads,
    contextTokens,
    maxParallel: 1,
    reusePrefixes: false,
    simd: "auto",
    ropeScaling: ropeScale === 1 ? null : "linear",
    ropeScale: ropeScale === 1 ? null : ropeScale,
    kvMemoryBytes: null,
    attention: "full",
    retrievalBudget: null,
    estimationBudget: null,
    localWindow: null,
    segmentTokens: null,
    kvType: null,
    blockCacheMiB: 0,
  };
}
