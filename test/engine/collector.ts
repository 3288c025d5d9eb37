import { Engine } from "../../src/engine/engine.js";
import { loadModel } from "../../src/engine/load.js";
import type { EngineOptions } from "../../src/engine/options.js";
import type { EngineEvent, GenerateRequest } from "../../src/engine/types.js";

export type FinishedEvent = Extract<EngineEvent, { type: "finished" }>;

/** Options for the model at a path; small segments let short prompts have an index. */
export function engineOptions(modelPath: string, overrides: Partial<EngineOptions> = {}): EngineOptions {
  return {
    modelPath,
    contextTokens: 2048,
    maxParallel: 4,
    numThreads: null,
    simd: "auto",
    ropeScaling: null,
    ropeScale: null,
    kvMemoryBytes: null,
    attention: "wave",
    retrievalBudget: null,
    estimationBudget: null,
    localWindow: 64,
    segmentTokens: 256,
    kvType: null,
    reusePrefixes: false,
    blockCacheMiB: 0,
    ...overrides,
  };
}

export function generateRequest(
  requestId: string,
  promptTokens: Int32Array,
  overrides: Partial<GenerateRequest> = {},
): GenerateRequest {
  return {
    requestId,
    promptTokens,
    maxTokens: 16,
    stopTokens: [],
    sampling: { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 1 },
    attention: { mode: null, retrievalBudget: null },
    ...overrides,
  };
}

/** An engine on this thread whose events are kept by request. */
export class CollectingEngine {
  readonly events = new Map<string, EngineEvent[]>();
  readonly failures = new Map<string, Error>();
  readonly model: ReturnType<typeof loadModel>;
  readonly engine: Engine;

  constructor(options: EngineOptions) {
    this.model = loadModel(options);
    this.engine = new Engine(this.model, options.attention, {
      event: (requestId, event) => this.events.set(requestId, [...(this.events.get(requestId) ?? []), event]),
      failed: (requestId, error) => this.failures.set(requestId, error),
    });
  }

  /** Steps until nothing is left to do; the books must agree after every step. */
  drain(): void {
    while (this.engine.step()) this.engine.checkIntegrity();
    this.engine.checkIntegrity();
  }

  tokens(requestId: string): number[] {
    return (this.events.get(requestId) ?? []).flatMap((event) => (event.type === "token" ? [event.tokenId] : []));
  }

  finished(requestId: string): FinishedEvent {
    const last = this.events.get(requestId)?.at(-1);
    if (last?.type !== "finished") throw new Error(`request ${requestId} has not finished`);
    return last;
  }

  close(): void {
    this.model.close();
  }
}
