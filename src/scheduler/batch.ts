import type { Sequence } from "./sequence.js";

/** One sequence's part of a step: a chunk of its prompt, or its newest token. */
export interface BatchEntry {
  sequence: Sequence;
  tokens: Int32Array;
  decode: boolean;
  wave: boolean;
  /** Whether the step ends with a new token for it. */
  wantsToken: boolean;
}

/** What one step runs; decode entries in wave mode come first, a prefill chunk last. */
export interface Batch {
  entries: BatchEntry[];
}
