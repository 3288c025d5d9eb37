import type { KvLease } from "../kvcache/kv-cache.js";
import type { TokenConstraint } from "../text/token-constraint.js";
import type { LogitRules } from "./logit-rules.js";

export interface SequenceOptions {
  id: string;
  promptTokens: Int32Array;
  maxTokens: number;
  stopTokens: ReadonlySet<number>;
  sampling: { temperature: number; topP: number; topK: number; minP: number; seed: number };
  /** null: wave once the context is long enough. */
  attentionMode: "wave" | "full" | null;
  retrievalBudget: number;
  /** null: the logits stay as they are. */
  rules: LogitRules | null;
  /** What the completion's text must be; null: anything. Needs `rules`. */
  constraint: TokenConstraint | null;
  /** Alternatives that every token's log-probabilities come with; null: no log-probabilities. */
  topLogprobs: number | null;
  /** A sequence with the same prompt that this one is forked from once that is in the KV cache. */
  leaderId: string | null;
}

/** One request on its way: waiting, then prefill, then decode. */
export class Sequence {
  readonly id: string;
  /** null while it waits for its turn. */
  lease: KvLease | null = null;
  /** Prompt tokens that are in the KV cache. */
  prefilled = 0;
  numCompletionTokens = 0;
  /** The newest token, not in the KV cache yet. */
  lastToken = -1;
  usedWave = false;
  readonly queuedAtMs = performance.now();
  startedAtMs = 0;
  firstTokenAtMs = 0;
  indexBuildMs = 0;
  private randomState: number;

  constructor(readonly options: SequenceOptions) {
    this.id = options.id;
    this.randomState = options.sampling.seed >>> 0;
  }

  /** Tokens of prompt and completion at the most: what its lease is made for. */
  get maxLength(): number {
    return this.options.promptTokens.length + this.options.maxTokens;
  }

  get inPrefill(): boolean {
    return this.prefilled < this.options.promptTokens.length;
  }

  /** The next uniform number in [0, 1) of the sequence's own generator (mulberry32). */
  nextUniform(): number {
    this.randomState = (this.randomState + 0x6d2b79f5) >>> 0;
    let t = this.randomState;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}
