/** What the API layer and the command line see of the engine: plain data, and one handle. */

import type { TokenTable } from "../text/token-table.js";

export type AttentionMode = "wave" | "full";

/** Sampling settings of one request; every field is set, defaults are applied at the API's edge. */
export interface SamplingOptions {
  /** 0 is greedy. */
  temperature: number;
  /** 1 keeps every token. */
  topP: number;
  /** 0 keeps every token. */
  topK: number;
  minP: number;
  /** Unsigned 32-bit seed; the same seed gives the same tokens, alone or beside other sequences. */
  seed: number;
}

/** What changes a request's logits before a token is drawn. */
export interface LogitOptions {
  /** Added to the logits of these tokens, entry by entry; -Infinity bans one. */
  biasTokens: readonly number[];
  biases: readonly number[];
  /** Subtracted once from tokens that the completion holds already. */
  presencePenalty: number;
  /** Subtracted for every time that the completion holds a token already. */
  frequencyPenalty: number;
  /** Positive logits of recent tokens are divided by it, others multiplied; 1 changes nothing. */
  repeatPenalty: number;
  /** How many of the latest tokens, prompt included, the repeat penalty looks at; -1: all. */
  repeatLastN: number;
}

/** Log-probabilities of one position by the model's own distribution: before any adjustment, temperature or filter. */
export interface TokenLogprobs {
  logprob: number;
  topTokens: Int32Array;
  topLogprobs: Float32Array;
}

/** How attention runs for one request (DESIGN section 7's `wavekv` object). */
export interface AttentionOptions {
  /** null: the engine's default, wave where the context has a segment and is long enough. */
  mode: AttentionMode | null;
  /** Share of clusters attended exactly, 0..1; null: the engine's default. */
  retrievalBudget: number | null;
}

/** What the completion's text must be; see text/json-grammar.ts for the schemas that it can hold to. */
export interface TextConstraint {
  /** null: any JSON object. */
  jsonSchema: unknown;
  /** Text that follows the JSON. */
  suffix: string;
  tokens: TokenTable;
}

export interface GenerateRequest {
  requestId: string;
  promptTokens: Int32Array;
  maxTokens: number;
  /** Token ids that end the sequence; they are not part of the completion. */
  stopTokens: readonly number[];
  sampling: SamplingOptions;
  attention: AttentionOptions;
  /** Absent: the logits stay as they are. */
  logits?: LogitOptions | undefined;
  /** Only tokens that it lets come are drawn, and an end only where the text is whole. */
  constraint?: TextConstraint | undefined;
  /** Asks for log-probabilities with every token, and so many alternatives; absent: none. */
  topLogprobs?: number | undefined;
  /** A request with the same prompt, submitted before: its KV cache is forked instead of being made again. */
  forkOf?: string | undefined;
}

/** Zones of the tripartite attention, averaged over every decode step, layer and query head of a sequence. */
export interface AttentionReport {
  mode: AttentionMode;
  /** Mean number of tokens attended in each zone per row and step. */
  tokens: { steady: number; retrieval: number; estimation: number };
  /** Mean share of attention mass in each zone, 0..1; `unattended` is what no zone covered. */
  mass: { steady: number; retrieval: number; estimation: number; unattended: number };
  /** Share of the KV cache's f16 bytes read per decode step, index included. */
  kvReadShare: number;
  blockCache: { hits: number; misses: number };
  indexBytes: number;
  segments: number;
}

export interface Timings {
  queueMs: number;
  prefillMs: number;
  /** Part of prefillMs + decodeMs spent building the wave index. */
  indexBuildMs: number;
  decodeMs: number;
}

export type FinishReason = "stop" | "length";

/** Events of one request, in order: queued, progress*, token*, finished. An engine fault rejects the iterator instead. */
export type EngineEvent =
  /** `processed` of `total` prompt tokens are in the KV cache; `cached` of them came from known segments. `elapsedMs`: since the sequence started. */
  | { type: "progress"; processed: number; total: number; cached: number; elapsedMs: number }
  | { type: "token"; tokenId: number; logprobs?: TokenLogprobs | undefined }
  | {
      type: "finished";
      reason: FinishReason;
      promptTokens: number;
      cachedTokens: number;
      completionTokens: number;
      report: AttentionReport;
      timings: Timings;
    };

export interface EngineInfo {
  backend: "cpu" | "cuda";
  simdLevel: string;
  numThreads: number;
  /** Largest prompt + completion of one sequence. */
  contextTokens: number;
  maxParallel: number;
  /** Tokens of one segment of the wave index. */
  segmentTokens: number;
}

/** Counters and gauges for /metrics and /health. */
export interface EngineStats {
  queued: number;
  running: number;
  promptTokensTotal: number;
  completionTokensTotal: number;
  stepsTotal: number;
  kvBytesUsed: number;
  kvBytesTotal: number;
  segmentsLive: number;
  blockCacheHitsTotal: number;
  blockCacheMissesTotal: number;
  phaseMs: Record<string, number>;
}

export interface EngineHandle {
  readonly info: EngineInfo;
  /**
   * Runs one request. Ending the iteration early (`return()`, or the signal) cancels the sequence at once.
   * Throws CallerError before the first event when the request cannot be admitted.
   */
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncIterable<EngineEvent>;
  /**
   * Ends a running sequence as if it had met a stop token: its iterator goes on to `finished` with reason "stop", report and timings.
   * Called when a stop string is found in the text, which the engine does not see.
   */
  finish(requestId: string): void;
  stats(): Promise<EngineStats>;
  close(): Promise<void>;
}
