import { describe, expect, it } from "vitest";
import { ControlPlane, ControlPlaneError, type ControlPlaneOptions } from "../../src/kvcache/control-plane.js";

const OPTIONS: ControlPlaneOptions = {
  numLayers: 3,
  numKvHeads: 2,
  maxClusters: 6,
  segmentTokens: 80,
  segmentCapacity: 2,
  blockCapacity: 16,
  maxRows: 2,
  maxSelectedPerRow: 4,
  policy: "lru",
};

/** Every row of the next published segment gets these cluster sizes. */
function fillIngest(plane: ControlPlane, sizes: readonly number[]): void {
  const { buffer, ingestNumClustersOffset, ingestSizesOffset, maxClusters } = plane.regions;
  const numRows = plane.geometry.numLayers * plane.geometry.numKvHeads;
  new Uint16Array(buffer, ingestNumClustersOffset, numRows).fill(sizes.length);
  const table = new Uint16Array(buffer, ingestSizesOffset, numRows * maxClusters);
  for (let row = 0; row < numRows; row++) table.set(sizes, row * maxClusters);
}

function select(plane: ControlPlane, row: number, handles: readonly number[]): void {
  const { buffer, requestOffset, requestStride } = plane.regions;
  new Uint32Array(buffer, requestOffset + row * requestStride, 1 + handles.length).set([handles.length, ...handles]);
}

function planWords(plane: ControlPlane, row: number): number[] {
  const { buffer, planOffset, planStride, planHeaderBytes, planRangeBytes } = plane.regions;
  const start = planOffset + row * planStride;
  const numRanges = new Uint32Array(buffer, start, 1)[0]!;
  return [...new Uint32Array(buffer, start, (planHeaderBytes + numRanges * planRangeBytes) / 4)];
}

function errorOf(call: () => unknown): ControlPlaneError {
  try {
    call();
  } catch (error) {
    if (error instanceof ControlPlaneError) return error;
    throw error;
  }
  throw new Error("the call was not refused");
}

describe.each(["release", "debug"] as const)("ControlPlane, %s build", (build) => {
  const create = (change: Partial<ControlPlaneOptions> = {}) => ControlPlane.create({ ...OPTIONS, ...change, build });

  it.each(["lru", "sieve"] as const)("goes through the life of a segment (%s)", (policy) => {
    const plane = create({ policy });
    const slot = plane.allocateSegment(false);
    fillIngest(plane, [32, 8, 25, 15]);
    plane.publishSegment(slot);
    expect(plane.retainSegment(slot)).toBe(2);

    const handles = [1, 2].map((cluster) => plane.clusterHandle(slot, 1, 1, cluster));
    select(plane, 0, []);
    select(plane, 1, handles);
    expect(plane.lookup(1, 2)).toBe(2);
    expect(planWords(plane, 0)).toEqual([0, 0, 0, 0]);
    expect(planWords(plane, 1)).toEqual([1, 33, 0, 2, 2, slot, 32, 33]);

    expect(plane.planAdmissions()).toBe(2);
    expect(plane.numAdmissions()).toBe(2);
    const { buffer, admissionsOffset, admissionStride } = plane.regions;
    const admission = (index: number) => [...new Uint32Array(buffer, admissionsOffset + index * admissionStride, 9)];
    expect(admission(0).slice(0, 5)).toEqual([handles[0], slot, 3, 32, 8]);
    expect(admission(0).slice(6)).toEqual([0xffffffff, 0xffffffff, 0xffffffff]);
    const blocks = admission(1).slice(5);

    select(plane, 0, [handles[1]!]);
    expect(plane.lookup(1, 1)).toBe(0);
    const ranges = blocks.flatMap((block, place) => [1, block, 0, place === 3 ? 1 : 8]);
    expect(planWords(plane, 0)).toEqual([4, 25, 1, 0, ...ranges]);
    expect(plane.stats()).toEqual({
      lookups: 3,
      hits: 1,
      misses: 2,
      admissions: 2,
      rejectedAdmissions: 0,
      evictions: 0,
      segmentsLive: 1,
      blocksUsed: 5,
      blocksTotal: 16,
    });

    expect(plane.releaseSegment(slot)).toBe(1);
    expect(plane.releaseSegment(slot)).toBe(0);
    expect(plane.stats()).toMatchObject({ evictions: 2, segmentsLive: 0, blocksUsed: 0 });
    expect(() => plane.checkIntegrity()).not.toThrow();
  });

  it("makes its memory once, at the size that it announces", () => {
    const plane = create();
    const sizeBytes = ControlPlane.sizeBytes(OPTIONS, build);
    expect(plane.regions.buffer.byteLength).toBe(Math.ceil(sizeBytes / 65_536) * 65_536);
    const { admissionsOffset, admissionStride, planOffset, planStride, requestOffset, requestStride } = plane.regions;
    expect(admissionsOffset + 16 * admissionStride).toBeLessThanOrEqual(sizeBytes);
    expect(planOffset + 2 * planStride).toBeLessThanOrEqual(admissionsOffset);
    expect(requestOffset + 2 * requestStride).toBeLessThanOrEqual(planOffset);
    expect(planStride).toBe(plane.regions.planHeaderBytes + plane.regions.maxRangesPerRow * 16);
    for (const offset of [planOffset, requestOffset, admissionsOffset]) expect(offset % 64).toBe(0);
    fillIngest(plane, [20, 20, 20, 20]);
    plane.publishSegment(plane.allocateSegment(true));
    expect(plane.regions.buffer.byteLength).toBeGreaterThan(0);
  });

  it("says what is wrong, where, and with which numbers", () => {
    const plane = create();
    expect(errorOf(() => plane.publishSegment(0)).codeName).toBe("ERROR_SLOT_NOT_LIVE");
    expect(errorOf(() => plane.retainSegment(7)).message).toBe(
      "control plane: retainSegment: slot 7 is out of the segment table",
    );
    const slot = plane.allocateSegment(true);
    fillIngest(plane, [32, 32, 15]);
    expect(errorOf(() => plane.publishSegment(slot)).message).toBe(
      "control plane: publishSegment: row 0 has 79 tokens in its clusters, not a segment's number",
    );
    fillIngest(plane, [32, 32, 16]);
    plane.publishSegment(slot);
    const handle = plane.clusterHandle(slot, 2, 0, 3);
    select(plane, 0, []);
    select(plane, 1, [plane.clusterHandle(slot, 2, 0, 0), handle]);
    const error = errorOf(() => plane.lookup(2, 2));
    expect(error).toMatchObject({
      code: -36,
      codeName: "ERROR_BAD_CLUSTER",
      fault: { row: 1, index: 1, value: handle },
    });
    expect(error.message).toContain(`row 1, place 1: ${handle} is past the clusters of its row`);
    plane.allocateSegment(true);
    expect(errorOf(() => plane.allocateSegment(true)).message).toContain("all 2 segment slots are live");
  });

  it("refuses numbers that WASM would wrap into valid ones", () => {
    const plane = create();
    plane.allocateSegment(true);
    for (const slot of [2 ** 32, 0.5, Number.NaN]) {
      expect(errorOf(() => plane.retainSegment(slot)).codeName).toBe("ERROR_INVALID_ARGUMENT");
    }
    expect(errorOf(() => plane.lookup(2 ** 32, 1)).codeName).toBe("ERROR_INVALID_ARGUMENT");
    expect(errorOf(() => plane.lookup(0, 2 ** 32 + 1)).codeName).toBe("ERROR_INVALID_ARGUMENT");
    expect(errorOf(() => create({ maxRows: 2 ** 32 + 1 })).message).toContain("maxRows 4294967297");
  });

  it("refuses sizes out of range and tables past 4 GiB, with the sizes", () => {
    expect(errorOf(() => create({ segmentTokens: 193 })).message).toContain("segmentTokens 193");
    expect(() => create({ maxClusters: 65_535, segmentCapacity: 1 << 16 })).toThrow(/need \d{11,} bytes/);
    expect(errorOf(() => create({ policy: "fifo" as "lru" })).message).toContain('policy "fifo"');
  });

  it("finds a broken table", () => {
    const plane = create();
    const slot = plane.allocateSegment(false);
    fillIngest(plane, [32, 32, 16]);
    plane.publishSegment(slot);
    plane.checkIntegrity();
    // The first ingested row became the first row of the cluster table; its sizes sit two bytes into 8-byte records.
    const words = new Uint8Array(plane.regions.buffer);
    const at = words.findIndex(
      (byte, index) => index > 1536 && index % 8 === 2 && byte === 32 && words[index + 8] === 32,
    );
    words[at] = 31;
    expect(errorOf(() => plane.checkIntegrity()).codeName).toBe("FAULT_CLUSTER_START");
  });
});
