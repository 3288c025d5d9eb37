import { setImmediate as nextTurn } from "node:timers/promises";
import type {
  AttentionReport,
  EngineEvent,
  EngineHandle,
  EngineInfo,
  EngineStats,
  GenerateRequest,
} from "../../src/engine/types.js";

/** What a scripted sequence does next: a token, a wait that the test ends, a failure, or progress of the prefill. */
export type Step = number | Promise<unknown> | Error | { processed: number; cached?: number };

const REPORT: AttentionReport = {
  mode: "wave",
  tokens: { steady: 68, retrieval: 512.25, estimation: 2048 },
  mass: { steady: 0.5, retrieval: 0.4, estimation: 0.08, unattended: 0.02 },
  kvReadShare: 0.0912345678,
  blockCache: { hits: 90, misses: 10 },
  indexBytes: 123_456,
  segments: 3,
};

/**
 * The engine's contract without a model, for tests of what HTTP does with any sequence of events. The acceptance tests
 * run the real engine.
 */
export class ScriptedEngine implements EngineHandle {
  readonly info: EngineInfo = {
    backend: "cpu",
    simdLevel: "portable",
    numThreads: 1,
    contextTokens: 1000,
    maxParallel: 4,
    segmentTokens: 128,
  };
  /** Requests in the order of their arrival. */
  readonly requests: GenerateRequest[] = [];
  /** Ids of requests that were cancelled by their signal or by the end of their iteration. */
  readonly cancelled: string[] = [];
  readonly finishedEarly: string[] = [];
  numProduced = 0;

  /** `endless` repeats the steps until the request is cancelled. */
  constructor(
    public steps: readonly Step[],
    readonly options: { endless?: boolean } = {},
  ) {}

  finish(requestId: string): void {
    this.finishedEarly.push(requestId);
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<EngineEvent> {
    this.requests.push(request);
    const aborted = new Promise<"aborted">((resolve) => signal?.addEventListener("abort", () => resolve("aborted")));
    let cached = 0;
    let completionTokens = 0;
    let over = false;
    try {
      do {
        for (const step of this.steps) {
          if (signal?.aborted || this.finishedEarly.includes(request.requestId)) break;
          if (step instanceof Error) {
            over = true;
            throw step;
          }
          if (step instanceof Promise) await Promise.race([step, aborted]);
          else if (typeof step === "number") {
            completionTokens += 1;
            this.numProduced += 1;
            yield { type: "token", tokenId: step };
          } else {
            cached = step.cached ?? 0;
            const total = request.promptTokens.length;
            yield { type: "progress", processed: step.processed, total, cached, elapsedMs: 12.3 };
          }
        }
        await nextTurn();
      } while (this.options.endless && !signal?.aborted);
      if (signal?.aborted) return;
      over = true;
      yield {
        type: "finished",
        reason: "stop",
        promptTokens: request.promptTokens.length,
        cachedTokens: cached,
        completionTokens,
        report: REPORT,
        timings: { queueMs: 1, prefillMs: 20.12345, indexBuildMs: 3, decodeMs: 40 },
      };
    } finally {
      if (!over) this.cancelled.push(request.requestId);
    }
  }

  async stats(): Promise<EngineStats> {
    return {
      queued: 1,
      running: 2,
      promptTokensTotal: 3000,
      completionTokensTotal: 400,
      stepsTotal: 500,
      kvBytesUsed: 6000,
      kvBytesTotal: 7000,
      segmentsLive: 8,
      blockCacheHitsTotal: 90,
      blockCacheMissesTotal: 10,
      phaseMs: { attention: 1500, linear: 2500 },
    };
  }

  async close(): Promise<void> {}
}
