import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

/**
 * The native contract: everything TypeScript knows of the addon. Each call is synchronous and checks its arguments;
 * failures are thrown as Errors that say what, where and with which sizes.
 */
export interface NativeAddon {
  cpuInfo(): { simdLevel: SimdLevel; numCpus: number };
  readGguf(path: string): NativeGguf;
  Model: new (options: NativeModelOptions) => NativeModel;
  Runner: new (model: NativeModel, options: NativeRunnerOptions) => NativeRunner;
}

export type SimdLevel = "avx512" | "avx2" | "portable";

export interface NativeGguf {
  /** Values as `GgufValue` in text/types.ts lists them. */
  metadata: Map<string, unknown>;
  tensors: { name: string; type: string; shape: number[]; sizeBytes: number }[];
}

export interface NativeModelOptions {
  path: string;
  simd: "auto" | SimdLevel;
  /** 0: as many as the process may use. */
  numThreads: number;
  /** "file" takes the scaling that the model file states. */
  ropeScaling: "file" | "none" | "linear" | "yarn";
  ropeScale: number;
}

export interface NativeModelInfo {
  architecture: string;
  numLayers: number;
  hiddenDim: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  ffnDim: number;
  vocabSize: number;
  trainedContext: number;
  /** Largest context that RoPE, as set, covers. */
  usableContext: number;
  packedBytes: number;
  numThreads: number;
  simdLevel: SimdLevel;
}

export interface NativeModel {
  info(): NativeModelInfo;
  /** Drops this handle; runners made from the model keep it. */
  close(): void;
}

/** By what clusters are ranked for retrieval: see Ranking in native/model/decode_attention.h. */
export type Ranking = "error" | "mass" | "centroid";

/** How the wave index is read; it may change from step to step. */
export interface NativeReadOptions {
  /** Share of the clusters, next in mass after the retrieved ones, that are estimated, 0..1. */
  estimationBudget: number;
  /** Clusters that every row retrieves at least. */
  minClusters: number;
  /** Strength 0..1 of the variance term. */
  varianceTerm: number;
  ranking: Ranking;
}

/** How segments keep keys and values: see KvType in native/include/kernels.h. */
export type KvType = "f16" | "q8";

/** How the wave index is built and read. */
export interface NativeWaveOptions extends NativeReadOptions {
  kvType: KvType;
  segmentTokens: number;
  /** Newest tokens, which stay exact and outside every segment. */
  localWindow: number;
  /** First tokens of a sequence, which are always retrieved. */
  sinkTokens: number;
  /** Strength 0..1 of the query metric in clustering. */
  queryMetric: number;
  sphericalClusters: boolean;
  clusterIterations: number;
  tokensPerCluster: number;
  maxClusterSize: number;
}

export interface NativeRunnerOptions extends NativeWaveOptions {
  maxBatchTokens: number;
  /** Blocks of 8 vectors in the block cache; 0 where segments are attended in place. */
  blockCacheBlocks: number;
}

export interface KvGeometry {
  numLayers: number;
  numKvHeads: number;
  groupSize: number;
  headDim: number;
  maxClusters: number;
  tailCapacity: number;
  segmentTokens: number;
  /** Bytes of one token's key and value in a row of a segment. */
  recordBytes: number;
  segmentBytes: number;
  sequenceBytes: number;
}

/** Byte offsets and strides of the control plane's regions in its memory. */
export interface NativeRegions {
  maxRows: number;
  maxSelectedPerRow: number;
  maxAdmissions: number;
  ingestOffset: number;
  requestOffset: number;
  requestStrideBytes: number;
  planOffset: number;
  planStrideBytes: number;
  admissionsOffset: number;
}

/** Flags of a batch entry. */
export const ENTRY_DECODE = 1;
export const ENTRY_WAVE = 2;
export const ENTRY_LOGITS = 4;

/**
 * Time of the steps from begin() to finish(), in milliseconds by phase; every moment is in exactly one. See Phase in
 * native/include/phase_clock.h.
 */
export interface PhaseTimes {
  begin: number;
  project: number;
  score: number;
  choose: number;
  controlPlane: number;
  attend: number;
  merge: number;
  prefill: number;
  output: number;
  feedForward: number;
  finish: number;
}

/** What changes the logits before a token is drawn; see LogitAdjustments in native/model/sampler.h. */
export interface NativeAdjustments {
  /** As long as `biases`, which are added; a token may occur more than once. */
  biasTokens: Int32Array;
  biases: Float32Array;
  /** Distinct tokens that the repeat penalty brings down. */
  repeatTokens: Int32Array;
  /** Above 0; 1 changes nothing. */
  repeatPenalty: number;
  /** Bits of the tokens that may be drawn, u32 [ceil(vocabSize / 32)]; null: all. */
  allowed: Uint32Array | null;
}

export interface NativeRunner {
  geometry(): KvGeometry;
  setControlPlane(memory: ArrayBuffer, regions: NativeRegions): void;
  /** From the next step on; the index stays as it is. */
  setWaveOptions(options: NativeReadOptions): void;
  makeSequence(): NativeSequence;
  /**
   * Starts a step: entry i runs counts[i] tokens of sequences[i]; tokens hold those of all entries in order. Wave entries come
   * first. Returns the number of wave rows, whose requests and plans are [entry, kvHead].
   */
  begin(
    sequences: readonly NativeSequence[],
    counts: Int32Array,
    flags: Uint8Array,
    budgets: Float64Array,
    tokens: Int32Array,
  ): number;
  /** Norm, Q, K and V, RoPE, append to the tails. */
  project(layer: number): void;
  /** Steady zone, centroid scores, choice of clusters into the request region. */
  score(layer: number): void;
  /** Attention by the access plans, output projection, feed-forward. */
  attend(layer: number): void;
  /** Logits of the entries with ENTRY_LOGITS; the sequences advance. */
  finish(): void;
  /** A copy, f32 [vocabSize]. */
  logits(entry: number): Float32Array;
  sample(
    entry: number,
    options: { temperature: number; topP: number; topK: number; minP: number },
    uniform: number,
    adjustments?: NativeAdjustments | null,
  ): number;
  /** By the model's own distribution: log-probability of `token`, and the numTop likeliest tokens with theirs. */
  logprobs(
    entry: number,
    token: number,
    numTop: number,
  ): { logprob: number; topTokens: Int32Array; topLogprobs: Float32Array };
  /** Builds the index over a ready sequence's oldest tail tokens and fills the ingest region; attach() it once published. */
  buildSegment(sequence: NativeSequence, slot: number): NativeSegment;
  /** Copies the clusters of the admissions list into the block cache. */
  admit(numAdmissions: number): void;
  /** What the steps so far took. */
  phaseTimes(): PhaseTimes;
  close(): void;
}

export interface NativeSegment {
  readonly slot: number;
  /** u16 [segmentTokens]: cluster order -> token index of a row (layer * numKvHeads + kvHead). */
  order(row: number): Uint16Array;
  dispose(): void;
}

/** Sums over decode steps, layers and KV heads; see ZoneTotals in native/model/sequence.h. */
export interface NativeZones {
  steadyMass: number;
  retrievalMass: number;
  estimationMass: number;
  unattendedMass: number;
  queryHeads: number;
  steadyTokens: number;
  retrievalTokens: number;
  estimationTokens: number;
  rows: number;
  steadyBytes: number;
  indexBytes: number;
  retrievalBytes: number;
  estimationBytes: number;
  fullBytes: number;
  /** Clusters found in, and missed by, the block cache. */
  cacheHits: number;
  cacheMisses: number;
}

export interface NativeSequence {
  readonly numTokens: number;
  readonly numSegments: number;
  /** Tokens that fit before a segment must be attached. */
  readonly tailRoom: number;
  readonly segmentReady: boolean;
  /** Sums of squares of the queries so far, f32 [row, headDim]: a copy. Zero where the query metric is off. */
  querySquares: Float32Array;
  zones(): NativeZones;
  /** A sequence with the same tokens, which shares the segments and copies the tail. */
  fork(): NativeSequence;
  /** f16 [keys then values, row, count, headDim], in token order: a copy. */
  readTokens(first: number, count: number): Uint16Array;
  /** Appends what readTokens() of a sequence of the same model gave to the tail; the room is checked. */
  appendTokens(keysAndValues: Uint16Array): void;
  attach(segment: NativeSegment): void;
  /** Appends a finished segment of a sequence that began with the same tokens; the tail must be empty. */
  adopt(segment: NativeSegment): void;
  dispose(): void;
}

let loaded: NativeAddon | undefined;

/** Loads the addon once for this thread. Throws with what to run where it is not built. */
export function loadAddon(): NativeAddon {
  if (loaded) return loaded;
  const path = fileURLToPath(new URL("../../build/native/Release/wavekv.node", import.meta.url));
  try {
    loaded = createRequire(import.meta.url)(path) as NativeAddon;
  } catch (error) {
    throw new Error(`cannot load the native addon (run "npm run build:native"): ${(error as Error).message}`);
  }
  return loaded;
}
