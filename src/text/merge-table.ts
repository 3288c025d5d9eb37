const EMPTY = -1;

/**
 * The merges of a byte-pair vocabulary: (left id, right id) -> merge index. The index is the merge's rank (a lower one goes first).
 * Open addressing over typed arrays: a Map keyed by pairs would take several times the memory and time.
 */
export class MergeTable {
  // [slot] -> merge index, or EMPTY. At least twice as many slots as merges, a power of two.
  private readonly slots: Int32Array;
  private readonly mask: number;
  // [merge index]
  private readonly lefts: Int32Array;
  private readonly rights: Int32Array;
  private readonly results: Int32Array;
  private numMerges = 0;

  constructor(capacity: number) {
    let numSlots = 16;
    while (numSlots < capacity * 2) numSlots *= 2;
    this.slots = new Int32Array(numSlots).fill(EMPTY);
    this.mask = numSlots - 1;
    this.lefts = new Int32Array(capacity);
    this.rights = new Int32Array(capacity);
    this.results = new Int32Array(capacity);
  }

  /** Merges are added in the order of their rank; a pair that is there already keeps its first rank. */
  add(left: number, right: number, result: number): void {
    const slot = this.slotOf(left, right);
    if (this.slots[slot] === EMPTY) this.slots[slot] = this.numMerges;
    this.lefts[this.numMerges] = left;
    this.rights[this.numMerges] = right;
    this.results[this.numMerges] = result;
    this.numMerges++;
  }

  /** The rank of merging `left` and `right`, or -1 where no merge does. */
  rankOf(left: number, right: number): number {
    return this.slots[this.slotOf(left, right)]!;
  }

  /** The token that the merge of this rank makes. */
  resultOf(rank: number): number {
    return this.results[rank]!;
  }

  private slotOf(left: number, right: number): number {
    let slot = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) & this.mask;
    slot = (slot ^ (slot >>> 7)) & this.mask;
    for (;;) {
      const index = this.slots[slot]!;
      if (index === EMPTY || (this.lefts[index] === left && this.rights[index] === right)) return slot;
      slot = (slot + 1) & this.mask;
    }
  }
}
