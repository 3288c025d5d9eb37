// @ts-check
import { loadModel } from "../../dist/engine/load.js";
import { engineOptions } from "../lib/engine-options.mjs";

/**
 * A model for one sequence of so many tokens and its forks.
 *
 * @param {string} path
 * @param {{ contextTokens: number, maxParallel: number }} sizes
 * @param {Partial<import("../../dist/engine/options.js").WaveSettings>} wave over the defaults
 */
export function openModel(path, { contextTokens, maxParallel }, wave) {
  const options = engineOptions({ modelPath: path, numThreads: null, contextTokens });
  return loadModel({ ...options, maxParallel, attention: "wave" }, wave);
}
