import type { KvType, NativeWaveOptions, SimdLevel } from "../native/addon.js";
import type { AttentionMode } from "./types.js";

/** What `startEngine` takes; null leaves the choice to the engine (`DEFAULTS` below, or the model file). */
export interface EngineOptions {
  modelPath: string;
  /** Largest prompt + completion of one sequence, in tokens; null: what the model was made for. */
  contextTokens: number | null;
  maxParallel: number;
  numThreads: number | null;
  simd: "auto" | SimdLevel;
  ropeScaling: "none" | "linear" | "yarn" | null;
  ropeScale: number | null;
  /** Bytes that KV caches may take in all; null: enough for maxParallel full contexts, at most half of the machine's memory. */
  kvMemoryBytes: number | null;
  attention: AttentionMode;
  retrievalBudget: number | null;
  estimationBudget: number | null;
  localWindow: number | null;
  segmentTokens: number | null;
  /** How segments keep keys and values. */
  kvType: KvType | null;
  /** Whether a prompt may begin with the segments of an earlier one; they stay while the KV budget has room. */
  reusePrefixes: boolean;
  /** MiB of block cache; 0: every segment is attended in place. */
  blockCacheMiB: number;
}

/** The settings of the wave index, all of them; docs/fidelity.md says by which measurements they were chosen. */
export type WaveSettings = NativeWaveOptions & {
  /** Share of clusters that every row attends exactly, 0..1. */
  retrievalBudget: number;
};

export const DEFAULTS: Readonly<WaveSettings> = Object.freeze({
  kvType: "q8",
  segmentTokens: 512,
  localWindow: 256,
  sinkTokens: 4,
  queryMetric: 0,
  sphericalClusters: true,
  clusterIterations: 5,
  tokensPerCluster: 8,
  maxClusterSize: 32,
  retrievalBudget: 0.06,
  estimationBudget: 0.23,
  minClusters: 96,
  varianceTerm: 0.5,
  ranking: "error",
});

/** Tokens of a prompt that run in one step. Fixed, so that a sequence's result does not depend on what runs beside it. */
export const PREFILL_CHUNK_TOKENS = 256;

/** Requests that may wait; past it they are refused with 429. */
export const MAX_QUEUED = 256;
