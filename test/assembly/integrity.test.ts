import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ControlPlaneBuild } from "../../src/kvcache/control-plane-module.js";
import { BUILDS, Driver, LRU, NONE, randomFrom, randomSizes, SIEVE } from "./support/driver.js";

const GEOMETRY = {
  numLayers: 2,
  numKvHeads: 2,
  maxClusters: 8,
  segmentTokens: 96,
  segmentCapacity: 4,
  blockCapacity: 20,
  maxRows: 2,
  maxSelectedPerRow: 8,
};
const POLICIES = [LRU, SIEVE];
const HEADER = 1024;

/** Slot 0 in place, 1 and 2 slow and partly cached, 2 with two references, 3 free; misses wait, admissions are listed. */
function busyDriver(build: ControlPlaneBuild, policy: number): Driver {
  const driver = new Driver(build, GEOMETRY, policy);
  const random = randomFrom(11);
  for (const inPlace of [1, 0, 0]) {
    driver.writeIngest(Array.from({ length: 4 }, () => randomSizes(random, 96, 8)));
    driver.wasm.publishSegment(driver.wasm.allocateSegment(inPlace));
  }
  driver.wasm.retainSegment(2);
  for (let step = 0; step < 12; step++) {
    for (const layer of [0, 1]) {
      const slot = 1 + (step % 2);
      expect(driver.lookup(layer, [[0, 1, 2].map((c) => driver.handle(slot, layer, step % 2, c))])).toBeGreaterThan(-1);
    }
    if (step < 11) driver.wasm.planAdmissions();
  }
  return driver;
}

/** Some other value of these is as good: the step, a shorter admissions list; SIEVE's hand may be at any cluster. */
const FREE_WORDS = ["magic", "policy", "corrupt", "step", "numAdmissions", "hand"];
const headerWord = (name: string) => HEADER + 4 * HEADER_WORDS.indexOf(name);
const HEADER_WORDS =
  "magic policy numLayers numKvHeads maxClusters segmentTokens segmentCapacity blockCapacity maxRows maxSelectedPerRow rowsPerSegment clustersPerSegment numRowsTotal requestStride planStride pendingCapacity corrupt freeSlot freeBlock numFreeBlocks newest oldest hand numCached step numPending numAdmissions".split(
    " ",
  );

/** Byte offset of every word on which the tables' agreement rests. */
function wordsAtStake(driver: Driver): number[] {
  const words = HEADER_WORDS.filter((name) => !FREE_WORDS.includes(name)).map(headerWord);
  // Counters: gauges and admissions, evictions.
  for (const index of [3, 5, 6, 7, 8]) words.push(HEADER + 128 + 8 * index);
  for (let region = 0; region < 10; region++) words.push(HEADER + 200 + 4 * region);
  for (let slot = 0; slot < GEOMETRY.segmentCapacity; slot++) {
    // Not the references of a live slot: every number but 0 is possible.
    words.push(driver.region(0) + 16 * slot, driver.region(0) + 16 * slot + 12);
  }
  for (let rowIndex = 0; rowIndex < 16; rowIndex++) {
    const count = driver.u16(driver.region(1) + 2 * rowIndex);
    for (let index = 0; index < count; index++) {
      const cluster = driver.region(2) + 8 * (rowIndex * GEOMETRY.maxClusters + index);
      words.push(cluster, cluster + 4);
      const cachedIndex = driver.u32(cluster + 4);
      if (cachedIndex === NONE) continue;
      const cached = driver.region(3) + 32 * cachedIndex;
      for (const field of [0, 4, 8, 16, 20, 24, 28]) words.push(cached + field);
    }
  }
  for (let index = 0; index < 8; index++) words.push(driver.region(1) + 4 * index);
  for (let block = 0; block < GEOMETRY.blockCapacity; block++) {
    words.push(driver.region(4) + 8 * block, driver.region(4) + 8 * block + 4);
  }
  for (let index = 0; index < driver.u32(headerWord("numPending")); index++) words.push(driver.region(5) + 4 * index);
  for (let index = 0; index < driver.wasm.numAdmissions(); index++) {
    for (let word = 0; word < 9; word++) words.push(driver.region(9) + 36 * index + 4 * word);
  }
  return words;
}

describe.each(BUILDS)("checkIntegrity, %s build", (build) => {
  it.each(POLICIES)("finds a change of any word at stake (policy %i)", (policy) => {
    const driver = busyDriver(build, policy);
    const words = wordsAtStake(driver);
    expect(driver.stats()[7]).toBeGreaterThan(10);
    expect(driver.wasm.numAdmissions()).toBeGreaterThan(0);
    expect(driver.u32(headerWord("numPending"))).toBeGreaterThan(0);
    expect(words.length).toBeGreaterThan(300);
    const unnoticed: string[] = [];
    for (const word of words) {
      const value = driver.u32(word);
      for (const changed of [(value ^ 1) >>> 0, (value + 2) >>> 0, (value ^ 0x10000) >>> 0, 0, NONE]) {
        if (changed === value) continue;
        driver.setU32(word, changed);
        if (driver.wasm.checkIntegrity() === 0) unnoticed.push(`${word - HEADER}: ${value} -> ${changed}`);
        driver.setU32(word, value);
        driver.setU32(headerWord("corrupt"), 0);
      }
    }
    expect(unnoticed).toEqual([]);
    expect(driver.wasm.checkIntegrity()).toBe(0);
  });

  it("names the fault", () => {
    const driver = busyDriver(build, SIEVE);
    const segments = driver.region(0);
    const clusters = driver.region(2);
    const newest = driver.u32(headerWord("newest"));
    const codeWith = (word: number, value: number) => {
      const before = driver.u32(word);
      driver.setU32(word, value);
      const code = driver.wasm.checkIntegrity();
      driver.setU32(word, before);
      expect(driver.wasm.checkIntegrity()).toBe(0);
      return code;
    };
    expect(codeWith(headerWord("maxRows"), 3)).toBe(-100);
    expect(codeWith(segments, 3)).toBe(-101);
    expect(codeWith(segments + 4, 0)).toBe(-102);
    expect(codeWith(segments + 3 * 16 + 4, 1)).toBe(-102);
    // A free list that bites its own tail.
    expect(codeWith(segments + 3 * 16 + 12, 3)).toBe(-103);
    expect(codeWith(headerWord("freeSlot"), NONE)).toBe(-103);
    expect(codeWith(HEADER + 128 + 6 * 8, 2)).toBe(-104);
    expect(codeWith(driver.region(1), 0)).toBe(-110);
    expect(codeWith(clusters, driver.u32(clusters) & 0xff00ffff)).toBe(-111);
    expect(codeWith(clusters, driver.u32(clusters) | 1)).toBe(-112);
    expect(codeWith(headerWord("freeBlock"), newest)).toBe(-120);
    expect(codeWith(driver.region(4) + 8 * newest, NONE)).toBe(-121);
    expect(codeWith(HEADER + 128 + 7 * 8, 0)).toBe(-122);
    expect(codeWith(headerWord("oldest"), newest)).toBe(-130);
    expect(codeWith(driver.region(3) + 32 * newest + 8, newest)).toBe(-130);
    expect(codeWith(headerWord("hand"), NONE - 1)).toBe(-131);
    expect(codeWith(headerWord("numAdmissions"), 21)).toBe(-141);
    expect(codeWith(driver.region(3) + 32 * newest, 0)).toBe(-132);
    expect(codeWith(driver.region(5), 0)).toBe(-140);
    expect(codeWith(driver.region(9) + 12, 99)).toBe(-141);
    expect(codeWith(HEADER + 128 + 5 * 8, 1000)).toBe(-142);
  });

  it("two cached clusters cannot share a block", () => {
    const driver = busyDriver(build, LRU);
    const newest = driver.u32(headerWord("newest"));
    const older = driver.u32(driver.region(3) + 32 * newest + 8);
    driver.setU32(driver.region(3) + 32 * newest + 20, older);
    expect(driver.wasm.checkIntegrity()).toBe(-121);
  });

  // Native code that writes where it should not must cost us the tables, never the engine thread.
  it("no call traps, whatever the tables hold", { timeout: 60_000 }, () => {
    const poke = fc.record({ place: fc.nat(), value: fc.oneof(fc.nat({ max: 40 }), fc.constant(NONE), fc.nat()) });
    fc.assert(
      fc.property(fc.constantFrom(...POLICIES), fc.array(poke, { minLength: 1, maxLength: 6 }), (policy, pokes) => {
        const driver = busyDriver(build, policy);
        const tables = driver.region(6) - driver.region(0);
        for (const { place, value } of pokes) driver.setU32(driver.region(0) + ((place * 4) % tables), value);
        for (let round = 0; round < 3; round++) {
          for (const layer of [0, 1]) {
            const rows = [0, 1].map((kvHead) => [0, 1, 2, 3].map((c) => driver.handle(1 + round, layer, kvHead, c)));
            driver.lookup(layer, rows);
          }
          driver.wasm.planAdmissions();
          driver.wasm.checkIntegrity();
          for (const slot of [round, 3]) {
            driver.wasm.releaseSegment(slot);
            driver.wasm.publishSegment(driver.wasm.allocateSegment(0));
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});
