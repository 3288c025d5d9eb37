import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mergeSymbols, NO_TOKEN } from "../../src/text/bpe.js";
import { MergeTable } from "../../src/text/merge-table.js";

/** [rank] -> the pair that is joined. The result's id follows from the rank. */
type Pair = readonly [number, number];
const NUM_BYTES = 4;

/** The rule itself, on a plain list. */
function mergeByRule(symbols: readonly number[], pairs: readonly Pair[]): number[] {
  const list = [...symbols];
  const rankAt = (index: number) =>
    pairs.findIndex(([left, right]) => left === list[index] && right === list[index + 1]);
  for (;;) {
    const ranks = list.slice(1).map((_, index) => rankAt(index));
    const best = Math.min(...ranks.filter((rank) => rank >= 0));
    if (!Number.isFinite(best)) return list.filter((id) => id !== NO_TOKEN);
    list.splice(ranks.indexOf(best), 2, NUM_BYTES + best);
  }
}

/** Merges over four bytes and over what earlier merges made, as a trained vocabulary has them. */
const pairs = fc.array(fc.tuple(fc.nat(1000), fc.nat(1000)), { minLength: 1, maxLength: 30 }).map((raw) => {
  const distinct = raw.map(([left, right], rank): Pair => [left % (NUM_BYTES + rank), right % (NUM_BYTES + rank)]);
  return distinct.filter(([left, right], rank) => distinct.findIndex(([l, r]) => l === left && r === right) === rank);
});
const word = (maxLength: number) =>
  fc.array(fc.integer({ min: NO_TOKEN, max: NUM_BYTES - 1 }), { maxLength, size: "max" });

function tableOf(list: readonly Pair[]): MergeTable {
  const table = new MergeTable(list.length);
  for (const [rank, [left, right]] of list.entries()) table.add(left, right, NUM_BYTES + rank);
  return table;
}

describe("mergeSymbols", () => {
  it.each([48, 200])("joins by rank, then from the left, in words of up to %i symbols", (maxLength) => {
    fc.assert(
      fc.property(pairs, word(maxLength), (list, symbols) => {
        const ids = Int32Array.from(symbols);
        const count = mergeSymbols(ids, tableOf(list));
        expect(Array.from(ids.subarray(0, count))).toEqual(mergeByRule(symbols, list));
      }),
      { numRuns: 300 },
    );
  });

  it("keeps the first rank of a pair that is given twice", () => {
    const table = new MergeTable(3);
    table.add(0, 1, 4);
    table.add(1, 2, 5);
    table.add(0, 1, 6);
    const ids = Int32Array.of(0, 1, 2);
    expect(mergeSymbols(ids, table)).toBe(2);
    expect(Array.from(ids.subarray(0, 2))).toEqual([4, 2]);
  });
});
