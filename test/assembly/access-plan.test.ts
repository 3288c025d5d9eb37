import { beforeEach, describe, expect, it } from "vitest";
import { BUILDS, Driver, LRU, NONE } from "./support/driver.js";

const GEOMETRY = {
  numLayers: 2,
  numKvHeads: 2,
  maxClusters: 4,
  segmentTokens: 64,
  segmentCapacity: 4,
  blockCapacity: 12,
  maxRows: 3,
  maxSelectedPerRow: 5,
};
/** Every row: starts 0, 20, 29, 61. */
const SIZES = Array.from({ length: 4 }, () => [20, 9, 32, 3]);
const IN_PLACE = 0;
const SLOW = 1;
const OPEN = 2;

describe.each(BUILDS)("access plan, %s build", (build) => {
  let driver: Driver;
  const h = (slot: number, layer: number, kvHead: number, cluster: number) =>
    driver.handle(slot, layer, kvHead, cluster);

  beforeEach(() => {
    driver = new Driver(build, GEOMETRY, LRU);
    driver.writeIngest(SIZES);
    expect([1, 0, 0].map((inPlace) => driver.wasm.allocateSegment(inPlace))).toEqual([IN_PLACE, SLOW, OPEN]);
    driver.wasm.publishSegment(IN_PLACE);
    driver.wasm.publishSegment(SLOW);
  });

  it("joins neighbouring ranges of one slot and kind, and no others", () => {
    const row = [h(IN_PLACE, 0, 1, 0), h(IN_PLACE, 0, 1, 1), h(SLOW, 0, 1, 2), h(SLOW, 0, 1, 3), h(IN_PLACE, 0, 1, 2)];
    expect(driver.lookup(0, [[], row])).toBe(2);
    expect(driver.plan(0)).toEqual({ numTokens: 0, numHits: 0, numMisses: 0, ranges: [] });
    expect(driver.plan(1)).toEqual({
      numTokens: 96,
      numHits: 0,
      numMisses: 2,
      ranges: [
        { kind: 0, location: IN_PLACE, start: 0, count: 29 },
        { kind: 2, location: SLOW, start: 29, count: 35 },
        { kind: 0, location: IN_PLACE, start: 29, count: 32 },
      ],
    });
  });

  it("reads an admitted cluster from its blocks, 8 vectors in each but the last", () => {
    const handle = h(SLOW, 1, 0, 0);
    expect(driver.lookup(1, [[handle]])).toBe(1);
    expect(driver.wasm.planAdmissions()).toBe(1);
    const [admission] = driver.admissions();
    expect(admission).toMatchObject({ handle, slot: SLOW, row: 2, start: 0, count: 20 });
    const blocks = admission!.blocks;
    expect(new Set(blocks).size).toBe(3);
    expect(driver.lookup(1, [[handle]])).toBe(0);
    expect(driver.plan(0)).toEqual({
      numTokens: 20,
      numHits: 1,
      numMisses: 0,
      ranges: [8, 8, 4].map((count, index) => ({ kind: 1, location: blocks[index], start: 0, count })),
    });
  });

  it("lists a miss for admission once a step, however many rows share it", () => {
    const shared = h(SLOW, 0, 0, 1);
    expect(driver.lookup(0, [[shared], [shared], [shared]])).toBe(3);
    expect(driver.wasm.planAdmissions()).toBe(1);
    expect(driver.lookup(0, [[shared], [shared]])).toBe(0);
    expect(driver.wasm.planAdmissions()).toBe(0);
    expect(driver.stats().slice(0, 6)).toEqual([5, 2, 3, 1, 0, 0]);
  });

  it("never evicts what the step's own plans read", () => {
    const first = [h(SLOW, 0, 0, 0), h(SLOW, 0, 0, 2)];
    driver.lookup(0, [first]);
    expect(driver.wasm.planAdmissions()).toBe(2);
    const second = [h(SLOW, 1, 0, 0), h(SLOW, 1, 0, 2)];
    driver.lookup(0, [first]);
    driver.lookup(1, [second]);
    // 12 blocks: 3 + 4 are held by this step's hits, so 3 of the 5 that are free take one cluster, the other is refused.
    expect(driver.wasm.planAdmissions()).toBe(1);
    expect(driver.stats().slice(3, 6)).toEqual([3, 1, 0]);
    // In a step that does not read them they may go, the oldest first.
    driver.lookup(1, [second]);
    expect(driver.wasm.planAdmissions()).toBe(1);
    expect(driver.stats().slice(3, 6)).toEqual([4, 1, 1]);
    expect(driver.lookup(0, [first])).toBe(1);
    expect(driver.wasm.checkIntegrity()).toBe(0);
  });

  it("forgets a released slot: its blocks, its pending misses, its admissions", () => {
    driver.lookup(0, [[h(SLOW, 0, 0, 0), h(SLOW, 0, 0, 1)]]);
    expect(driver.wasm.planAdmissions()).toBe(2);
    driver.lookup(0, [[h(SLOW, 0, 0, 2)]]);
    expect(driver.wasm.releaseSegment(SLOW)).toBe(0);
    expect(driver.wasm.numAdmissions()).toBe(0);
    expect(driver.stats().slice(5)).toEqual([2, 2, 0, 12]);
    expect(driver.wasm.planAdmissions()).toBe(0);
    expect(driver.lookup(0, [[h(SLOW, 0, 0, 0)]])).toBe(-12);
    expect(driver.wasm.checkIntegrity()).toBe(0);
  });

  it.each([
    ["a handle past the table", (): number => 4 * 16, -33],
    ["the largest handle", (): number => NONE, -33],
    ["a slot that is free", (): number => h(3, 0, 0, 0), -12],
    ["a slot that is not published", (): number => h(OPEN, 0, 0, 0), -13],
    ["another layer", (): number => h(SLOW, 1, 0, 0), -34],
    ["another KV head than the row's first", (): number => h(SLOW, 0, 1, 0), -35],
  ] as const)("refuses %s, says where, and changes nothing", (_, handle, code) => {
    const before = new Uint8Array(driver.memory.buffer).slice(0, driver.region(6));
    expect(driver.lookup(0, [[h(SLOW, 0, 0, 1)], [h(SLOW, 0, 0, 0), handle()]])).toBe(code);
    expect(driver.fault()).toEqual([code, 1, 1, handle()]);
    const after = new Uint8Array(driver.memory.buffer).slice(0, driver.region(6));
    // The fault itself is noted in the header.
    before.copyWithin(1024 + 108, 0, 0);
    after.set(before.subarray(1024 + 108, 1024 + 124), 1024 + 108);
    expect(after).toEqual(before);
  });

  it("refuses a cluster past the count of its row", () => {
    driver.writeIngest(Array.from({ length: 4 }, () => [32, 32]));
    driver.wasm.publishSegment(OPEN);
    expect(driver.lookup(1, [[h(OPEN, 1, 1, 1), h(OPEN, 1, 1, 2)]])).toBe(-36);
    expect(driver.fault()).toEqual([-36, 0, 1, h(OPEN, 1, 1, 2)]);
  });

  it("refuses layers, row numbers and selections out of range", () => {
    for (const layer of [-1, 2, 2 ** 31 - 1]) expect(driver.wasm.lookup(layer, 0)).toBe(-30);
    for (const numRows of [-1, 4, 2 ** 31 - 1]) expect(driver.wasm.lookup(0, numRows)).toBe(-31);
    driver.writeRequest(0, [h(SLOW, 0, 0, 0)], 6);
    expect(driver.wasm.lookup(0, 1)).toBe(-32);
    driver.writeRequest(0, [h(SLOW, 0, 0, 0)], NONE);
    expect(driver.wasm.lookup(0, 1)).toBe(-32);
    expect(driver.wasm.checkIntegrity()).toBe(0);
  });
});
