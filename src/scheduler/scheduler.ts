import type { Batch, BatchEntry } from "./batch.js";
import type { Sequence } from "./sequence.js";

export interface SchedulerOptions {
  maxParallel: number;
  prefillChunkTokens: number;
  /** Gives the sequence its KV lease; false while there is no room. */
  tryStart(sequence: Sequence): boolean;
  /** Whether the sequence's next decode step goes through the wave index. */
  wantsWave(sequence: Sequence): boolean;
}

/**
 * Continuous batching: every step carries one token of each decoding sequence and one chunk of the oldest prompt that is
 * not in the cache yet. Sequences start in the order in which they came, and leave at any step.
 */
export class Scheduler {
  private readonly waiting: Sequence[] = [];
  private readonly running: Sequence[] = [];

  constructor(private readonly options: SchedulerOptions) {}

  get numWaiting(): number {
    return this.waiting.length;
  }

  get numRunning(): number {
    return this.running.length;
  }

  add(sequence: Sequence): void {
    this.waiting.push(sequence);
  }

  find(id: string): Sequence | undefined {
    return [...this.running, ...this.waiting].find((sequence) => sequence.id === id);
  }

  get hasRoom(): boolean {
    return this.running.length < this.options.maxParallel;
  }

  /** Waiting sequences that are to be forked from this one, in order. */
  followersOf(leaderId: string): Sequence[] {
    return this.waiting.filter((sequence) => sequence.options.leaderId === leaderId);
  }

  /** Lets a waiting sequence run that has its lease already. */
  startForked(sequence: Sequence): void {
    this.remove(sequence.id);
    this.running.push(sequence);
  }

  /** Forgets a sequence, wherever it is; returns it, or undefined where it is unknown. */
  remove(id: string): Sequence | undefined {
    for (const list of [this.waiting, this.running]) {
      const index = list.findIndex((sequence) => sequence.id === id);
      if (index >= 0) return list.splice(index, 1)[0];
    }
    return undefined;
  }

  /** The next step's batch; null when there is nothing to do. */
  schedule(): Batch | null {
    this.startWaiting();
    const decodes = this.running
      .filter((sequence) => !sequence.inPrefill)
      .map((sequence) => this.decodeEntry(sequence));
    const entries = [...decodes.filter((entry) => entry.wave), ...decodes.filter((entry) => !entry.wave)];
    const prefilling = this.running.find((sequence) => sequence.inPrefill);
    if (prefilling) entries.push(this.prefillEntry(prefilling));
    return entries.length > 0 ? { entries } : null;
  }

  private startWaiting(): void {
    while (this.hasRoom) {
      const next = this.waiting[0];
      if (!next || !this.options.tryStart(next)) return;
      this.waiting.shift();
      this.running.push(next);
    }
  }

  private decodeEntry(sequence: Sequence): BatchEntry {
    const wave = this.options.wantsWave(sequence);
    return { sequence, tokens: Int32Array.of(sequence.lastToken), decode: true, wave, wantsToken: true };
  }

  private prefillEntry(sequence: Sequence): BatchEntry {
    const { promptTokens } = sequence.options;
    const end = Math.min(sequence.prefilled + this.options.prefillChunkTokens, promptTokens.length);
    const tokens = promptTokens.subarray(sequence.prefilled, end);
    return { sequence, tokens, decode: false, wave: false, wantsToken: end === promptTokens.length };
  }
}
