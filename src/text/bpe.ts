import { MergeQueue } from "./merge-queue.js";
import type { MergeTable } from "./merge-table.js";

/** Symbols up to which looking at every pair again after each merge is faster than a queue. */
const SHORT_WORD = 48;
/** A byte that has no token of its own: it joins no merge and yields no token. */
export const NO_TOKEN = -1;

/**
 * Byte-pair encoding of one word: of all neighbours that a merge joins, the one of the lowest rank (the leftmost of equals) is
 * joined first, until none is left. `symbols` (one token id per byte) is overwritten; the ids are its first n entries,
 * n being the return value. Time is n log n.
 */
export function mergeSymbols(symbols: Int32Array, merges: MergeTable): number {
  const length = symbols.length <= SHORT_WORD ? mergeShort(symbols, merges) : mergeLong(symbols, merges);
  let kept = 0;
  for (let index = 0; index < length; index++) if (symbols[index] !== NO_TOKEN) symbols[kept++] = symbols[index]!;
  return kept;
}

function mergeShort(symbols: Int32Array, merges: MergeTable): number {
  let length = symbols.length;
  for (;;) {
    let bestRank = Infinity;
    let best = -1;
    for (let index = 0; index + 1 < length; index++) {
      const rank = merges.rankOf(symbols[index]!, symbols[index + 1]!);
      if (rank >= 0 && rank < bestRank) {
        bestRank = rank;
        best = index;
      }
    }
    if (best < 0) return length;
    symbols[best] = merges.resultOf(bestRank);
    symbols.copyWithin(best + 1, best + 2, length);
    length--;
  }
}

/** A doubly linked list over the symbols, and a queue of candidates; one that has gone stale shows by its rank. */
function mergeLong(symbols: Int32Array, merges: MergeTable): number {
  const length = symbols.length;
  const next = new Int32Array(length);
  const previous = new Int32Array(length);
  const queue = new MergeQueue(length);
  const propose = (left: number, right: number) => {
    const rank = merges.rankOf(symbols[left]!, symbols[right]!);
    if (rank >= 0) queue.push(rank, left);
  };
  for (let index = 0; index < length; index++) {
    previous[index] = index - 1;
    next[index] = index + 1;
    if (index + 1 < length) propose(index, index + 1);
  }
  const joined = new Uint8Array(length);
  for (let candidate = queue.pop(); candidate !== null; candidate = queue.pop()) {
    const left = candidate.position;
    const right = next[left]!;
    if (joined[left] || right === length || merges.rankOf(symbols[left]!, symbols[right]!) !== candidate.rank) continue;
    symbols[left] = merges.resultOf(candidate.rank);
    joined[right] = 1;
    const after = next[right]!;
    next[left] = after;
    if (after < length) {
      previous[after] = left;
      propose(left, after);
    }
    if (previous[left]! >= 0) propose(previous[left]!, left);
  }
  let kept = 0;
  for (let index = 0; index < length; index = next[index]!) symbols[kept++] = symbols[index]!;
  return kept;
}
