/**
 * A binary heap of merge candidates, ordered by rank, then by position from the left. A candidate is one float64,
 * `rank * 2^31 + position`, exact while ranks are below 2^22 and positions below 2^31.
 */
const POSITIONS = 2 ** 31;

export class MergeQueue {
  private keys: Float64Array;
  private size = 0;

  constructor(capacity: number) {
    this.keys = new Float64Array(Math.max(capacity, 16));
  }

  push(rank: number, position: number): void {
    if (this.size === this.keys.length) {
      const grown = new Float64Array(this.size * 2);
      grown.set(this.keys);
      this.keys = grown;
    }
    const key = rank * POSITIONS + position;
    const keys = this.keys;
    let child = this.size++;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[child] = keys[parent]!;
      child = parent;
    }
    keys[child] = key;
  }

  /** The smallest candidate, removed; null when there is none. */
  pop(): { rank: number; position: number } | null {
    if (this.size === 0) return null;
    const keys = this.keys;
    const top = keys[0]!;
    const last = keys[--this.size]!;
    let parent = 0;
    for (;;) {
      let child = parent * 2 + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= last) break;
      keys[parent] = keys[child]!;
      parent = child;
    }
    keys[parent] = last;
    const rank = Math.floor(top / POSITIONS);
    return { rank, position: top - rank * POSITIONS };
  }
}
