import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ControlPlaneBuild } from "../../src/kvcache/control-plane-module.js";
import { BUILDS, Driver, LRU, randomFrom, randomSizes, SIEVE } from "./support/driver.js";
import { NaiveModel } from "./support/naive-model.js";

type Operation = { kind: "allocate" | "publish" | "retain" | "release" | "lookup" | "admit"; seed: number };

const operation: fc.Arbitrary<Operation> = fc.record({
  kind: fc.oneof(
    { weight: 2, arbitrary: fc.constant("allocate" as const) },
    { weight: 3, arbitrary: fc.constant("publish" as const) },
    { weight: 1, arbitrary: fc.constant("retain" as const) },
    { weight: 1, arbitrary: fc.constant("release" as const) },
    { weight: 8, arbitrary: fc.constant("lookup" as const) },
    { weight: 5, arbitrary: fc.constant("admit" as const) },
  ),
  seed: fc.nat(),
});

const scenario = fc.record({
  blockCapacity: fc.constantFrom(0, 3, 9, 24, 60),
  policy: fc.constantFrom(LRU, SIEVE),
  operations: fc.array(operation, { minLength: 20, maxLength: 120 }),
});

/** Runs one operation on both sides and compares all that it gives. */
class Comparison {
  readonly model: NaiveModel;
  readonly driver: Driver;

  constructor(build: ControlPlaneBuild, blockCapacity: number, policy: number) {
    const geometry = {
      numLayers: 2,
      numKvHeads: 2,
      maxClusters: 12,
      segmentTokens: 100,
      segmentCapacity: 4,
      blockCapacity,
      maxRows: 4,
      maxSelectedPerRow: 6,
    };
    this.driver = new Driver(build, geometry, policy);
    this.model = new NaiveModel(geometry, policy);
  }

  apply(operation: Operation): void {
    const random = randomFrom(operation.seed);
    this[operation.kind](random);
    const model = this.model;
    expect(this.driver.wasm.checkIntegrity()).toBe(0);
    expect(this.driver.admissions()).toEqual(model.admitted);
    expect(this.driver.stats()).toEqual([
      model.lookups,
      model.hits,
      model.misses,
      model.admissions,
      model.rejected,
      model.evictions,
      model.segments.size,
      model.usedBlocks(),
      this.driver.geometry.blockCapacity,
    ]);
  }

  private allocate(random: () => number): void {
    const inPlace = random() < 0.25;
    const slot = this.driver.wasm.allocateSegment(inPlace ? 1 : 0);
    if (this.model.segments.size === this.driver.geometry.segmentCapacity) {
      expect(slot).toBe(-10);
      return;
    }
    expect(slot).toBeGreaterThanOrEqual(0);
    expect(slot).toBeLessThan(this.driver.geometry.segmentCapacity);
    expect(this.model.segments.has(slot)).toBe(false);
    this.model.segments.set(slot, { references: 1, inPlace, sizes: null });
  }

  private publish(random: () => number): void {
    const { segmentTokens, maxClusters } = this.driver.geometry;
    const sizes = Array.from({ length: this.model.rows }, () => randomSizes(random, segmentTokens, maxClusters));
    const fault = random() < 0.2;
    if (fault) sizes[Math.floor(random() * sizes.length)]![0]! += 1;
    this.driver.writeIngest(sizes);
    const slot = this.anySlot(random);
    const code = this.driver.wasm.publishSegment(slot);
    const segment = this.model.segments.get(slot);
    if (segment === undefined) expect(code).toBe(-12);
    else if (segment.sizes !== null) expect(code).toBe(-14);
    else if (fault) expect([-21, -22]).toContain(code);
    else {
      expect(code).toBe(0);
      segment.sizes = sizes;
    }
  }

  private retain(random: () => number): void {
    const slot = this.anySlot(random);
    const segment = this.model.segments.get(slot);
    const expected = segment === undefined ? -12 : ++segment.references;
    expect(this.driver.wasm.retainSegment(slot)).toBe(expected);
  }

  private release(random: () => number): void {
    const slot = this.anySlot(random);
    const expected = this.model.segments.has(slot) ? this.model.release(slot) : -12;
    expect(this.driver.wasm.releaseSegment(slot)).toBe(expected);
  }

  private lookup(random: () => number): void {
    const { numLayers, numKvHeads, maxRows, maxSelectedPerRow } = this.driver.geometry;
    const layer = Math.floor(random() * numLayers);
    const published = [...this.model.segments].filter(([, segment]) => segment.sizes !== null);
    const rows = Array.from({ length: Math.floor(random() * (maxRows + 1)) }, () => {
      const kvHead = Math.floor(random() * numKvHeads);
      const wanted = published.length === 0 ? 0 : Math.floor(random() * (maxSelectedPerRow + 1));
      const handles: number[] = [];
      while (handles.length < wanted) {
        const [slot, segment] = published[Math.floor(random() * published.length)]!;
        // Squared: low clusters are wanted more often, so that there are hits; some are neighbours, so that ranges join.
        const index = Math.floor(random() ** 3 * segment.sizes![layer * numKvHeads + kvHead]!.length);
        handles.push(this.driver.handle(slot, layer, kvHead, index));
      }
      return random() < 0.5 ? handles.sort((a, b) => a - b) : handles;
    });
    const expected = rows.map((handles) => this.model.lookupRow(handles));
    const misses = expected.reduce((sum, plan) => sum + plan.numMisses, 0);
    expect(this.driver.lookup(layer, rows)).toBe(misses);
    expect(rows.map((_, row) => this.driver.plan(row))).toEqual(expected);
  }

  private admit(): void {
    const chosen = this.model.planAdmissions();
    expect(this.driver.wasm.planAdmissions()).toBe(chosen.length);
    const admissions = this.driver.admissions();
    expect(admissions.map((admission) => admission.handle)).toEqual(chosen);
    for (const admission of admissions) {
      const { slot, row } = this.model.locate(admission.handle);
      const { start, size } = this.model.extent(admission.handle);
      expect(admission).toMatchObject({ slot, row, start, count: size });
      expect(admission.blocks.length).toBe(Math.ceil(size / 8));
    }
    this.model.adopt(admissions);
    const blocks = this.model.cached.flatMap((cached) => cached.blocks);
    expect(new Set(blocks).size).toBe(blocks.length);
    expect(blocks.every((block) => block < this.driver.geometry.blockCapacity)).toBe(true);
  }

  private anySlot(random: () => number): number {
    return Math.floor(random() * this.driver.geometry.segmentCapacity);
  }
}

describe.each(BUILDS)("control plane, %s build", (build) => {
  it("does what a naive model does, on random sequences of calls", { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(scenario, ({ blockCapacity, policy, operations }) => {
        const comparison = new Comparison(build, blockCapacity, policy);
        for (const seed of [1, 2, 3]) {
          comparison.apply({ kind: "allocate", seed });
          comparison.apply({ kind: "publish", seed });
        }
        for (const operation of operations) comparison.apply(operation);
      }),
      { numRuns: 100 },
    );
  });
});

describe("determinism", () => {
  const run = (build: ControlPlaneBuild, policy: number, renewInstance: boolean) => {
    const random = randomFrom(7);
    const kinds = ["allocate", "publish", "lookup", "lookup", "admit", "retain", "release"] as const;
    const comparison = new Comparison(build, 24, policy);
    for (let index = 0; index < 300; index++) {
      const kind = index < 8 ? kinds[index % 2]! : kinds[Math.floor(random() * kinds.length)]!;
      comparison.apply({ kind, seed: index });
      if (renewInstance) comparison.driver.reinstantiate();
    }
    return new Uint8Array(comparison.driver.memory.buffer);
  };

  it.each([LRU, SIEVE])("the same calls leave the same memory in every build and instance (policy %i)", (policy) => {
    const first = run("release", policy, false);
    expect(Buffer.compare(first, run("release", policy, false))).toBe(0);
    expect(Buffer.compare(first, run("debug", policy, false))).toBe(0);
    expect(Buffer.compare(first, run("release", policy, true))).toBe(0);
  });
});
