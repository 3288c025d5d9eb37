import { describe, expect, it } from "vitest";
import { BUILDS, Driver, LRU } from "./support/driver.js";

const GEOMETRY = {
  numLayers: 2,
  numKvHeads: 2,
  maxClusters: 4,
  segmentTokens: 64,
  segmentCapacity: 3,
  blockCapacity: 8,
  maxRows: 2,
  maxSelectedPerRow: 4,
};
const SIZES = [
  [32, 32],
  [1, 31, 32],
  [16, 16, 16, 16],
  [2, 30, 30, 2],
];

describe.each(BUILDS)("segment table, %s build", (build) => {
  it("hands out each slot once, refuses when full, and reuses a released slot", () => {
    const { wasm } = new Driver(build, GEOMETRY, LRU);
    const slots = [wasm.allocateSegment(1), wasm.allocateSegment(0), wasm.allocateSegment(1)];
    expect(slots.sort()).toEqual([0, 1, 2]);
    expect(wasm.allocateSegment(0)).toBe(-10);
    expect(wasm.releaseSegment(1)).toBe(0);
    expect(wasm.allocateSegment(0)).toBe(1);
    expect(wasm.checkIntegrity()).toBe(0);
  });

  it("frees a slot at its last reference only", () => {
    const { wasm } = new Driver(build, GEOMETRY, LRU);
    wasm.allocateSegment(1);
    expect(wasm.retainSegment(0)).toBe(2);
    expect(wasm.releaseSegment(0)).toBe(1);
    expect(wasm.releaseSegment(0)).toBe(0);
    expect(wasm.releaseSegment(0)).toBe(-12);
    expect(wasm.retainSegment(0)).toBe(-12);
    expect(wasm.checkIntegrity()).toBe(0);
  });

  it.each([-1, 3, 2 ** 31 - 1, -(2 ** 31)])("refuses slot %i, which the table does not have", (slot) => {
    const { wasm } = new Driver(build, GEOMETRY, LRU);
    expect(wasm.publishSegment(slot)).toBe(-11);
    expect(wasm.retainSegment(slot)).toBe(-11);
    expect(wasm.releaseSegment(slot)).toBe(-11);
    expect(wasm.checkIntegrity()).toBe(0);
  });

  it("publishes a slot once, and gives each cluster its place in the row", () => {
    const driver = new Driver(build, GEOMETRY, LRU);
    driver.wasm.allocateSegment(1);
    driver.writeIngest(SIZES);
    expect(driver.wasm.publishSegment(0)).toBe(0);
    expect(driver.wasm.publishSegment(0)).toBe(-14);
    // Row (1, 1): sizes 2, 30, 30, 2; asked out of order, so that nothing joins.
    const handles = [3, 1, 0, 2].map((cluster) => driver.handle(0, 1, 1, cluster));
    expect(driver.lookup(1, [handles])).toBe(0);
    expect(driver.plan(0).ranges).toEqual([
      { kind: 0, location: 0, start: 62, count: 2 },
      { kind: 0, location: 0, start: 2, count: 30 },
      { kind: 0, location: 0, start: 0, count: 2 },
      { kind: 0, location: 0, start: 32, count: 30 },
    ]);
  });

  it.each([
    ["no clusters", 2, [], -20, [2, 0, 0]],
    ["more clusters than a row holds", 1, [16, 16, 16, 8, 8], -20, [1, 0, 5]],
    ["a cluster of 33 tokens", 3, [31, 33], -21, [3, 1, 33]],
    ["an empty cluster", 0, [32, 0, 32], -21, [0, 1, 0]],
    ["a token too few", 2, [32, 31], -22, [2, 2, 63]],
    ["a token too many", 1, [32, 32, 1], -22, [1, 3, 65]],
  ] as const)("refuses a row with %s, says where, and changes nothing", (_, row, sizes, code, where) => {
    const driver = new Driver(build, GEOMETRY, LRU);
    driver.wasm.allocateSegment(0);
    driver.writeIngest(SIZES.map((good, index) => (index === row ? sizes : good)));
    const tables = new Uint8Array(driver.memory.buffer, driver.region(0), driver.region(6) - driver.region(0));
    const before = tables.slice();
    expect(driver.wasm.publishSegment(0)).toBe(code);
    expect(driver.fault()).toEqual([code, ...where]);
    expect(tables).toEqual(before);
    driver.writeIngest(SIZES);
    expect(driver.wasm.publishSegment(0)).toBe(0);
    expect(driver.wasm.checkIntegrity()).toBe(0);
  });
});
