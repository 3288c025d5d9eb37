import { describe, expect, it } from "vitest";
import { BUILDS, Driver, LRU, randomFrom, SIEVE } from "./support/driver.js";

/** One layer, one row, clusters of 8 tokens: one block each, so that the cache's capacity is a number of clusters. */
function makeDriver(build: "debug" | "release", policy: number, capacity: number, numClusters: number): Driver {
  const driver = new Driver(build, { ...ONE_ROW, blockCapacity: capacity, maxClusters: numClusters }, policy);
  driver.writeIngest([Array.from({ length: numClusters }, () => 8)]);
  expect(driver.wasm.publishSegment(driver.wasm.allocateSegment(0))).toBe(0);
  return driver;
}
const NUM_CLUSTERS = 400;
const ONE_ROW = {
  numLayers: 1,
  numKvHeads: 1,
  segmentTokens: 8 * NUM_CLUSTERS,
  segmentCapacity: 1,
  maxRows: 1,
  maxSelectedPerRow: NUM_CLUSTERS,
};

/** Steps of 20 clusters: two thirds are those of the step before, the rest are drawn with a bias to the low ones. */
function recencySkewedTrace(seed: number, numSteps: number): number[][] {
  const random = randomFrom(seed);
  const trace: number[][] = [];
  for (let step = 0; step < numSteps; step++) {
    const chosen = new Set((trace.at(-1) ?? []).filter(() => random() < 0.67));
    while (chosen.size < 20) chosen.add(Math.floor(random() ** 2 * NUM_CLUSTERS));
    trace.push([...chosen]);
  }
  return trace;
}

function hitRatio(driver: Driver, trace: readonly number[][]): number {
  for (const step of trace) {
    expect(driver.lookup(0, [step])).toBeGreaterThanOrEqual(0);
    driver.wasm.planAdmissions();
  }
  expect(driver.wasm.checkIntegrity()).toBe(0);
  const [lookups, hits] = driver.stats();
  return hits! / lookups!;
}

/**
 * Belady's optimum with bypass: on a miss, keep of cache and newcomer what is wanted soonest. No policy that admits at the
 * end of a step can do better: whatever it keeps, this one could have kept.
 */
function beladyHitRatio(trace: readonly number[][], capacity: number): number {
  const requests = trace.flat();
  const next = new Array<number>(requests.length);
  const seenAt = new Map<number, number>();
  for (let at = requests.length - 1; at >= 0; at--) {
    next[at] = seenAt.get(requests[at]!) ?? Number.POSITIVE_INFINITY;
    seenAt.set(requests[at]!, at);
  }
  const wantedAt = new Map<number, number>();
  let hits = 0;
  requests.forEach((cluster, at) => {
    if (wantedAt.has(cluster)) hits++;
    wantedAt.set(cluster, next[at]!);
    if (wantedAt.size <= capacity) return;
    const farthest = [...wantedAt].reduce((a, b) => (b[1] > a[1] ? b : a));
    wantedAt.delete(farthest[0]);
  });
  return hits / requests.length;
}

describe.each(BUILDS)("replacement policies, %s build", (build) => {
  const step = (driver: Driver, clusters: number[]) => {
    const misses = driver.lookup(0, [clusters]);
    driver.wasm.planAdmissions();
    return misses;
  };

  it("LRU evicts the cluster unused for longest; a hit renews it", () => {
    const driver = makeDriver(build, LRU, 3, NUM_CLUSTERS);
    for (const cluster of [1, 2, 3, 1, 4]) step(driver, [cluster]);
    // 2 was the oldest use when 4 came.
    expect([1, 3, 4].map((cluster) => step(driver, [cluster]))).toEqual([0, 0, 0]);
    expect(step(driver, [2])).toBe(1);
  });

  it("SIEVE passes over what was visited, once, and does not move it", () => {
    const driver = makeDriver(build, SIEVE, 3, NUM_CLUSTERS);
    for (const cluster of [1, 2, 3, 1, 4]) step(driver, [cluster]);
    // The hand passed 1 (visited), took 2 and stands at 3.
    expect(step(driver, [5])).toBe(1);
    expect([1, 4, 5].map((cluster) => step(driver, [cluster]))).toEqual([0, 0, 0]);
    expect(step(driver, [3])).toBe(1);
  });

  it.each([LRU, SIEVE])("a step larger than the cache keeps what fits and counts the rest (policy %i)", (policy) => {
    const driver = makeDriver(build, policy, 5, NUM_CLUSTERS);
    const wanted = Array.from({ length: 12 }, (_, index) => index);
    expect(step(driver, wanted)).toBe(12);
    expect(step(driver, wanted)).toBe(7);
    expect(driver.stats().slice(3, 6)).toEqual([5, 7 + 7, 0]);
  });

  it("LRU and SIEVE reach most of what Belady's optimum does, and never more", () => {
    for (const capacity of [10, 40, 100]) {
      for (const seed of [1, 2]) {
        const trace = recencySkewedTrace(seed, 250);
        const best = beladyHitRatio(trace, capacity);
        const lru = hitRatio(makeDriver(build, LRU, capacity, NUM_CLUSTERS), trace);
        const sieve = hitRatio(makeDriver(build, SIEVE, capacity, NUM_CLUSTERS), trace);
        expect(lru).toBeLessThanOrEqual(best);
        expect(sieve).toBeLessThanOrEqual(best);
        // Less than the step's demand of 20 fits into a cache of 10, and no policy sees the future.
        const floor = capacity < 20 ? 0.65 : 0.85;
        expect(lru / best).toBeGreaterThan(floor);
        expect(sieve / best).toBeGreaterThan(floor);
      }
    }
  });
});
