// @ts-check
import { loadModel } from "../../dist/engine/load.js";

/**
 * A model for one sequence of so many tokens and its forks.
 *
 * @param {string} path
 * @param {{ contextTokens: number, maxParallel: number }} sizes
 * @param {Partial<import("../../dist/engine/options.js").WaveSettings>} wave over the defaults
 */
export function openModel(path, { contextTokens, maxParallel }, wave) {
  return loadModel(
    {
      modelPath: path,
      contextTokens,
      maxParallel,
      numThreads: null,
      simd: "auto",
      ropeScaling: null,
      ropeScale: null,
      kvMemoryBytes: null,
      attention: "wave",
      retrievalBudget: null,
      estimationBudget: null,
      localWindow: null,
      segmentTokens: null,
      kvType: null,
      blockCacheMiB: 0,
      reusePrefixes: false,
    },
    wave,
  );
}
