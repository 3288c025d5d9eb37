import type { LogitOptions } from "../engine/types.js";
import type { NativeAdjustments } from "../native/addon.js";

const NO_TOKENS = new Int32Array(0);

/** The options that leave logits as they are. */
export const NO_RULES: LogitOptions = Object.freeze({
  biasTokens: [],
  biases: [],
  presencePenalty: 0,
  frequencyPenalty: 0,
  repeatPenalty: 1,
  repeatLastN: 0,
});

/** The adjustments of one sequence's logits, which depend on the tokens that it has so far. */
export class LogitRules {
  /** Tokens of the completion with their counts. */
  private readonly counts = new Map<number, number>();
  /** Every token so far, where the repeat penalty looks at them. */
  private readonly tokens: number[] = [];

  constructor(
    private readonly options: LogitOptions,
    promptTokens: Int32Array,
  ) {
    if (this.repeats) for (const token of promptTokens.subarray(-this.window)) this.tokens.push(token);
  }

  accept(token: number): void {
    this.counts.set(token, (this.counts.get(token) ?? 0) + 1);
    if (this.repeats) this.tokens.push(token);
  }

  /** What the next draw's logits are adjusted by. `allowed` comes from a constraint, null where every token may come. */
  adjustments(allowed: Uint32Array | null): NativeAdjustments {
    const { biasTokens, biases, presencePenalty, frequencyPenalty, repeatPenalty } = this.options;
    const tokens = [...biasTokens];
    const values = [...biases];
    if (presencePenalty !== 0 || frequencyPenalty !== 0) {
      for (const [token, count] of this.counts) {
        tokens.push(token);
        values.push(-(presencePenalty + count * frequencyPenalty));
      }
    }
    return {
      biasTokens: Int32Array.from(tokens),
      biases: Float32Array.from(values),
      repeatTokens: this.repeats ? Int32Array.from(new Set(this.tokens.slice(-this.window))) : NO_TOKENS,
      repeatPenalty,
      allowed,
    };
  }

  private get repeats(): boolean {
    return this.options.repeatPenalty !== 1 && this.options.repeatLastN !== 0;
  }

  /** Of the latest tokens so many count; more than any sequence has where all do. */
  private get window(): number {
    return this.options.repeatLastN < 0 ? 2 ** 31 : this.options.repeatLastN;
  }
}
