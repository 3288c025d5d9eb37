import type { ControlPlaneGeometry } from "../../../src/kvcache/control-plane-module.js";
import { type Admission, type Plan, type Range, SIEVE } from "./driver.js";

interface Segment {
  references: number;
  inPlace: boolean;
  /** [row][cluster]; null until published. */
  sizes: number[][] | null;
}

interface Cached {
  handle: number;
  visited: boolean;
  step: number;
  blocks: number[];
}

/** The control plane's semantics in plain JavaScript: slow, with no linked list and no index. */
export class NaiveModel {
  readonly segments = new Map<number, Segment>();
  /** Newest first. */
  cached: Cached[] = [];
  pending: number[] = [];
  admitted: Admission[] = [];
  step = 0;
  lookups = 0;
  hits = 0;
  misses = 0;
  admissions = 0;
  rejected = 0;
  evictions = 0;
  private hand: Cached | null = null;

  constructor(
    private readonly g: ControlPlaneGeometry,
    private readonly policy: number,
  ) {}

  get rows(): number {
    return this.g.numLayers * this.g.numKvHeads;
  }

  locate(handle: number): { slot: number; row: number; cluster: number } {
    const rowIndex = Math.floor(handle / this.g.maxClusters);
    return {
      slot: Math.floor(rowIndex / this.rows),
      row: rowIndex % this.rows,
      cluster: handle % this.g.maxClusters,
    };
  }

  extent(handle: number): { start: number; size: number } {
    const { slot, row, cluster } = this.locate(handle);
    const sizes = this.segments.get(slot)!.sizes![row]!;
    return { start: sizes.slice(0, cluster).reduce((a, b) => a + b, 0), size: sizes[cluster]! };
  }

  usedBlocks(): number {
    return this.cached.reduce((sum, cached) => sum + this.numBlocks(cached.handle), 0);
  }

  release(slot: number): number {
    const segment = this.segments.get(slot)!;
    segment.references--;
    if (segment.references > 0) return segment.references;
    const ofSlot = (handle: number) => this.locate(handle).slot === slot;
    this.pending = this.pending.filter((handle) => !ofSlot(handle));
    this.admitted = this.admitted.filter((admission) => !ofSlot(admission.handle));
    // By handle, so that SIEVE's hand moves as it does for one cluster after another.
    const leaving = this.cached.filter((cached) => ofSlot(cached.handle)).sort((a, b) => a.handle - b.handle);
    for (const cached of leaving) this.evict(cached);
    this.segments.delete(slot);
    return 0;
  }

  lookupRow(handles: readonly number[]): Plan {
    const plan: Plan = { numTokens: 0, numHits: 0, numMisses: 0, ranges: [] };
    for (const handle of handles) {
      const { slot } = this.locate(handle);
      const { start, size } = this.extent(handle);
      plan.numTokens += size;
      this.lookups++;
      const cached = this.cached.find((candidate) => candidate.handle === handle);
      if (cached !== undefined) {
        plan.numHits++;
        this.hits++;
        this.touch(cached);
        cached.blocks.forEach((location, place) => {
          plan.ranges.push({ kind: 1, location, start: 0, count: Math.min(8, size - 8 * place) });
        });
      } else if (this.segments.get(slot)!.inPlace) {
        append(plan.ranges, { kind: 0, location: slot, start, count: size });
      } else {
        plan.numMisses++;
        this.misses++;
        this.note(handle);
        append(plan.ranges, { kind: 2, location: slot, start, count: size });
      }
    }
    return plan;
  }

  /** Handles to admit, in order. Their blocks are learned by `adopt`. */
  planAdmissions(): number[] {
    const chosen: number[] = [];
    for (const handle of this.pending) {
      const needed = this.numBlocks(handle);
      while (this.freeBlocks() < needed) {
        const victim = this.victim();
        if (victim === null) break;
        this.evict(victim);
      }
      if (this.freeBlocks() < needed) {
        this.rejected++;
        continue;
      }
      this.cached.unshift({ handle, visited: false, step: this.step, blocks: [] });
      this.admissions++;
      chosen.push(handle);
    }
    this.pending = [];
    this.step++;
    return chosen;
  }

  adopt(admissions: Admission[]): void {
    this.admitted = admissions;
    for (const { handle, blocks } of admissions) {
      this.cached.find((cached) => cached.handle === handle)!.blocks = blocks;
    }
  }

  private numBlocks(handle: number): number {
    return Math.ceil(this.extent(handle).size / 8);
  }

  private freeBlocks(): number {
    return this.g.blockCapacity - this.usedBlocks();
  }

  private note(handle: number): void {
    if (this.pending.includes(handle)) return;
    const capacity = Math.min(this.g.blockCapacity, this.g.numLayers * this.g.maxRows * this.g.maxSelectedPerRow);
    if (this.pending.length < capacity) this.pending.push(handle);
    else this.rejected++;
  }

  private touch(cached: Cached): void {
    cached.visited = true;
    cached.step = this.step;
    if (this.policy === SIEVE) return;
    this.cached = [cached, ...this.cached.filter((other) => other !== cached)];
  }

  private evict(cached: Cached): void {
    const index = this.cached.indexOf(cached);
    if (this.hand === cached) this.hand = this.cached[index - 1] ?? null;
    this.cached.splice(index, 1);
    this.evictions++;
  }

  private victim(): Cached | null {
    if (this.policy !== SIEVE) return this.cached.findLast((cached) => cached.step !== this.step) ?? null;
    let index = this.hand === null ? -1 : this.cached.indexOf(this.hand);
    for (let seen = 0; seen <= 2 * this.cached.length; seen++, index--) {
      if (index < 0) index = this.cached.length - 1;
      const cached = this.cached[index];
      if (cached === undefined) return null;
      if (cached.step === this.step) continue;
      if (!cached.visited) {
        this.hand = cached;
        return cached;
      }
      cached.visited = false;
    }
    return null;
  }
}

function append(ranges: Range[], next: Range): void {
  const last = ranges.at(-1);
  const joins = last?.kind === next.kind && last.location === next.location && last.start + last.count === next.start;
  if (last !== undefined && joins) last.count += next.count;
  else ranges.push({ ...next });
}
