/** From the configuration to a node that can answer: fetches the model, reads its text parts, starts the engine. */

import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { ReadyNode } from "../api/node-state.js";
import type { Config } from "../config.js";
import { startEngine } from "../engine/engine-client.js";
import { findInCatalogue } from "../model/catalogue.js";
import { type ResolveOptions, resolveModel } from "../model/fetch.js";
import { readGgufMetadata } from "../model/gguf-metadata.js";
import { createChatTemplate } from "../text/chat-template.js";
import { createTokenizer } from "../text/tokenizer.js";
import { LoadError } from "./load-error.js";

export interface LoadedNode extends ReadyNode {
  modelPath: string;
}

/** Rejects with CallerError or ModelFetchError where the model cannot be had, with LoadError where it cannot run. */
export async function loadNode(config: Config, fetching: ResolveOptions): Promise<LoadedNode> {
  const modelPath = await resolveModel(config.model, fetching);
  try {
    return await loadFile(config, modelPath);
  } catch (error) {
    throw new LoadError(`cannot load ${modelPath}: ${(error as Error).message}`, { cause: error });
  }
}

async function loadFile(config: Config, modelPath: string): Promise<LoadedNode> {
  const { mtimeMs } = await stat(modelPath);
  const metadata = readGgufMetadata(modelPath);
  const tokenizer = createTokenizer(metadata);
  const chatTemplate = createChatTemplate(metadata);
  const engine = await startEngine({
    modelPath,
    contextTokens: config.ctxSize,
    maxParallel: config.parallel,
    numThreads: config.threads,
    simd: config.simd,
    ropeScaling: config.ropeScaling,
    ropeScale: config.ropeScale,
    attention: config.attention,
    kvMemoryBytes: config.kvMemory,
    retrievalBudget: config.retrievalBudget,
    estimationBudget: config.estimationBudget,
    localWindow: config.localWindow,
    segmentTokens: config.segmentTokens,
    kvType: config.kvType,
    reusePrefixes: config.prefixCache === "on",
    blockCacheMiB: config.blockCache,
  });
  const model = { id: modelId(config.model), createdSeconds: Math.floor(mtimeMs / 1000) };
  return { engine, tokenizer, chatTemplate, model, modelPath };
}

/** A catalogue or hub name is the id; a path's file name is, without its ending. */
export function modelId(nameOrPath: string): string {
  const entry = findInCatalogue(nameOrPath);
  if (entry) return entry.name;
  return nameOrPath.toLowerCase().endsWith(".gguf") ? basename(nameOrPath).slice(0, -".gguf".length) : nameOrPath;
}
