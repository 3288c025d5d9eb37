import { totalmem } from "node:os";
import { blocksInMiB, KvCache } from "../kvcache/kv-cache.js";
import { ModelRunner } from "../model/runner.js";
import { loadAddon, type NativeModelInfo, type NativeRunner } from "../native/addon.js";
import { DEFAULTS, type EngineOptions, PREFILL_CHUNK_TOKENS, type WaveSettings } from "./options.js";
import type { EngineInfo } from "./types.js";

/** A model with its runner and KV cache, ready to step. */
export interface LoadedModel {
  modelInfo: NativeModelInfo;
  info: EngineInfo;
  wave: WaveSettings;
  native: NativeRunner;
  runner: ModelRunner;
  kvCache: KvCache;
  close(): void;
}

/** Contexts larger than this are opened only when asked for: their KV cache is large. */
const DEFAULT_CONTEXT_LIMIT_TOKENS = 32_768;
const MEMORY_SHARE = 0.5;

/** Loads a model and lays out its KV cache. Throws where the file is not one that runs, or memory does not suffice. */
export function loadModel(options: EngineOptions, overrides: Partial<WaveSettings> = {}): LoadedModel {
  const addon = loadAddon();
  const model = new addon.Model({
    path: options.modelPath,
    simd: options.simd,
    numThreads: options.numThreads ?? 0,
    ropeScaling: options.ropeScaling ?? "file",
    ropeScale: options.ropeScale ?? 1,
  });
  const modelInfo = model.info();
  const wave = { ...waveSettings(options), ...overrides };
  const blockCacheBlocks = blocksInMiB(options.blockCacheMiB, modelInfo.headDim, wave.kvType);
  const native = new addon.Runner(model, {
    ...wave,
    maxBatchTokens: PREFILL_CHUNK_TOKENS + options.maxParallel,
    blockCacheBlocks,
  });
  model.close();
  const contextTokens = options.contextTokens ?? Math.min(modelInfo.usableContext, DEFAULT_CONTEXT_LIMIT_TOKENS);
  const kvCache = new KvCache(native, {
    contextTokens,
    maxParallel: options.maxParallel,
    budgetBytes: kvBudget(options, contextTokens, native),
    blockCacheBlocks,
    localWindow: wave.localWindow,
    // The query metric depends on all queries so far, which a reused prefix does not have.
    reusePrefixes: options.reusePrefixes && wave.queryMetric === 0,
  });
  const info: EngineInfo = {
    backend: "cpu",
    simdLevel: modelInfo.simdLevel,
    numThreads: modelInfo.numThreads,
    contextTokens,
    maxParallel: options.maxParallel,
    segmentTokens: wave.segmentTokens,
  };
  return {
    modelInfo,
    info,
    wave,
    native,
    kvCache,
    runner: new ModelRunner(native, kvCache),
    close: () => native.close(),
  };
}

function waveSettings(options: EngineOptions): WaveSettings {
  return {
    ...DEFAULTS,
    kvType: options.kvType ?? DEFAULTS.kvType,
    segmentTokens: options.segmentTokens ?? DEFAULTS.segmentTokens,
    localWindow: options.localWindow ?? DEFAULTS.localWindow,
    retrievalBudget: options.retrievalBudget ?? DEFAULTS.retrievalBudget,
    estimationBudget: options.estimationBudget ?? DEFAULTS.estimationBudget,
  };
}

function kvBudget(options: EngineOptions, contextTokens: number, native: NativeRunner): number {
  const { sequenceBytes, segmentBytes, segmentTokens } = native.geometry();
  const oneContext = sequenceBytes + Math.floor(contextTokens / segmentTokens) * segmentBytes;
  const budget = options.kvMemoryBytes ?? Math.min(options.maxParallel * oneContext, MEMORY_SHARE * totalmem());
  if (budget < oneContext) {
    throw new Error(
      `one context of ${contextTokens} tokens needs ${oneContext} bytes of KV cache and there are ${Math.floor(budget)}: ` +
        "lower --ctx-size or raise --kv-memory",
    );
  }
  return budget;
}
