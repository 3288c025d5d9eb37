import type { KvCache } from "../kvcache/kv-cache.js";
import {
  ENTRY_DECODE,
  ENTRY_LOGITS,
  ENTRY_WAVE,
  type NativeRunner,
  type NativeSequence,
  type PhaseTimes,
} from "../native/addon.js";

/** One entry of a step as the runner needs it. */
export interface RunnerEntry {
  sequence: NativeSequence;
  tokens: Int32Array;
  decode: boolean;
  wave: boolean;
  retrievalBudget: number;
  wantsLogits: boolean;
}

/**
 * Runs one batch through the model. Each layer crosses native (project, score) -> control plane (lookup: one access plan
 * for all rows) -> native (attend); DESIGN section 2.
 */
export class ModelRunner {
  private readonly numLayers: number;

  constructor(
    private readonly native: NativeRunner,
    private readonly kvCache: KvCache,
  ) {
    this.numLayers = kvCache.geometry.numLayers;
  }

  /** What all steps so far took, in milliseconds by phase. */
  get phaseMs(): PhaseTimes {
    return this.native.phaseTimes();
  }

  /** Runs the entries, those in wave mode first; afterwards logits and samples of those that want them can be had. */
  run(entries: readonly RunnerEntry[]): void {
    const waveRows = this.begin(entries);
    const { native } = this;
    for (let layer = 0; layer < this.numLayers; layer++) {
      native.project(layer);
      if (waveRows > 0) {
        native.score(layer);
        this.kvCache.controlPlane.lookup(layer, waveRows);
      }
      native.attend(layer);
    }
    native.finish();
    if (waveRows > 0) this.kvCache.admit();
  }

  private begin(entries: readonly RunnerEntry[]): number {
    const counts = Int32Array.from(entries, (entry) => entry.tokens.length);
    const flags = Uint8Array.from(
      entries,
      (entry) =>
        (entry.decode ? ENTRY_DECODE : 0) | (entry.wave ? ENTRY_WAVE : 0) | (entry.wantsLogits ? ENTRY_LOGITS : 0),
    );
    const budgets = Float64Array.from(entries, (entry) => entry.retrievalBudget);
    const tokens = new Int32Array(counts.reduce((sum, count) => sum + count, 0));
    let offset = 0;
    for (const entry of entries) {
      tokens.set(entry.tokens, offset);
      offset += entry.tokens.length;
    }
    return this.native.begin(
      entries.map((entry) => entry.sequence),
      counts,
      flags,
      budgets,
      tokens,
    );
  }
}
