import { ControlPlaneError } from "./control-plane-errors.js";
import {
  type ControlPlaneBuild,
  type ControlPlaneExports,
  type ControlPlaneGeometry,
  geometryArguments,
  instantiate,
  makeMemory,
} from "./control-plane-module.js";

export { ControlPlaneError } from "./control-plane-errors.js";
export type { ControlPlaneBuild, ControlPlaneGeometry } from "./control-plane-module.js";

/** Replacement policies of the block cache; the index is the module's number. */
export const CONTROL_PLANE_POLICIES = ["lru", "sieve"] as const;
export type ControlPlanePolicy = (typeof CONTROL_PLANE_POLICIES)[number];

export interface ControlPlaneOptions extends ControlPlaneGeometry {
  policy: ControlPlanePolicy;
  /** Default "release". */
  build?: ControlPlaneBuild;
}

/**
 * What the native addon needs to read and write the memory in place: byte offsets from the buffer's start, strides in
 * bytes. The buffer is never detached: it must be kept alive as long as native holds its address.
 */
export interface ControlPlaneRegions extends ControlPlaneGeometry {
  buffer: ArrayBuffer;
  /** u16 [numLayers, numKvHeads]: clusters of each row. Native fills both before publishSegment. */
  ingestNumClustersOffset: number;
  /** u16 [numLayers, numKvHeads, maxClusters]: tokens of each cluster. */
  ingestSizesOffset: number;
  /** Per row of a lookup: u32 numSelected, u32 handles[maxSelectedPerRow]. */
  requestOffset: number;
  requestStride: number;
  /** Per row: u32 numRanges, numTokens, numHits, numMisses; then ranges of u32 kind, location, start, count. */
  planOffset: number;
  planStride: number;
  planHeaderBytes: number;
  planRangeBytes: number;
  maxRangesPerRow: number;
  /** Per admission: u32 handle, slot, row, start, count, blocks[4]; unused blocks are 0xffffffff. */
  admissionsOffset: number;
  admissionStride: number;
}

/** Kinds of a plan's ranges: in place in a resident segment, in the block cache, in the slow tier. */
export const RANGE_IN_PLACE = 0;
export const RANGE_HIT = 1;
export const RANGE_MISS = 2;

/** Counters since create(); the last three are gauges. */
export interface ControlPlaneStats {
  /** Selected clusters; those that are neither hit nor miss lay in place. */
  lookups: number;
  hits: number;
  misses: number;
  /** Clusters that were given blocks, refused blocks, and that lost theirs (by policy or with their segment). */
  admissions: number;
  rejectedAdmissions: number;
  evictions: number;
  segmentsLive: number;
  blocksUsed: number;
  blocksTotal: number;
}

const PLAN_HEADER_BYTES = 16;
const PLAN_RANGE_BYTES = 16;
const MAX_RANGES_PER_CLUSTER = 4;

/**
 * The tables of the KV cache: which segments live, which clusters they have, which of those the block cache holds. One
 * step: native writes requests, lookup() per layer, native reads the plan and attends; at the end planAdmissions(), and
 * native copies what it lists before the next lookup. Every refusal is a ControlPlaneError.
 */
export class ControlPlane {
  private constructor(
    private readonly wasm: ControlPlaneExports,
    readonly geometry: Readonly<ControlPlaneGeometry>,
    readonly policy: ControlPlanePolicy,
    readonly regions: Readonly<ControlPlaneRegions>,
    private readonly statsView: BigUint64Array,
    private readonly faultView: Uint32Array,
  ) {}

  /** Makes the memory at its final size and lays the tables out in it. */
  static create(options: ControlPlaneOptions): ControlPlane {
    const { policy, build = "release", ...geometry } = options;
    const memory = makeMemory(ControlPlane.sizeBytes(geometry, build));
    const wasm = instantiate(build, memory);
    const policyIndex = CONTROL_PLANE_POLICIES.indexOf(policy);
    if (policyIndex < 0) throw new ControlPlaneError("create", -1, undefined, `policy "${policy}"`);
    const code = wasm.init(...geometryArguments(geometry), policyIndex);
    if (code < 0) throw new ControlPlaneError("create", code, undefined, describe(geometry));
    return new ControlPlane(
      wasm,
      Object.freeze({ ...geometry }),
      policy,
      Object.freeze(readRegions(wasm, geometry, memory.buffer)),
      new BigUint64Array(memory.buffer, wasm.statsPtr(), 9),
      new Uint32Array(memory.buffer, wasm.faultPtr(), 4),
    );
  }

  /** Bytes of memory that the tables of a geometry take. */
  static sizeBytes(geometry: ControlPlaneGeometry, build: ControlPlaneBuild = "release"): number {
    const sizes = geometryArguments(geometry);
    const bytes = sizes.every(isInt32) ? instantiate(build, makeMemory(1)).layoutBytes(...sizes) : -1;
    if (bytes < 0) throw new ControlPlaneError("sizeBytes", -1, undefined, describe(geometry));
    return bytes;
  }

  /** Takes a slot with one reference; returns it. */
  allocateSegment(inPlace: boolean): number {
    return this.answer("allocateSegment", this.wasm.allocateSegment(inPlace ? 1 : 0));
  }

  /** Takes the ingest region as the clusters of a slot. */
  publishSegment(slot: number): void {
    this.answer("publishSegment", this.wasm.publishSegment(int32("publishSegment", slot)));
  }

  /** Adds a reference; returns their number. */
  retainSegment(slot: number): number {
    return this.answer("retainSegment", this.wasm.retainSegment(int32("retainSegment", slot)));
  }

  /** Drops a reference; returns their number. At 0 the slot is free and its clusters have left the block cache. */
  releaseSegment(slot: number): number {
    return this.answer("releaseSegment", this.wasm.releaseSegment(int32("releaseSegment", slot)));
  }

  /** Plans the reads of one layer for rows 0..numRows-1 of the request region; returns the misses, in clusters. */
  lookup(layer: number, numRows: number): number {
    return this.answer("lookup", this.wasm.lookup(int32("lookup", layer), int32("lookup", numRows)));
  }

  /** Ends the step; returns how many admissions native has to copy before the next lookup. */
  planAdmissions(): number {
    return this.answer("planAdmissions", this.wasm.planAdmissions());
  }

  /** Length of the admissions list; a release since planAdmissions() may have shortened it. */
  numAdmissions(): number {
    return this.answer("numAdmissions", this.wasm.numAdmissions());
  }

  /** Throws at the first contradiction between the tables. Reads all of them: for tests and idle time. */
  checkIntegrity(): void {
    this.answer("checkIntegrity", this.wasm.checkIntegrity());
  }

  /** The name by which requests select a cluster: an unsigned 32-bit number. */
  clusterHandle(slot: number, layer: number, kvHead: number, clusterIndex: number): number {
    const { numLayers, numKvHeads, maxClusters } = this.geometry;
    return ((slot * numLayers + layer) * numKvHeads + kvHead) * maxClusters + clusterIndex;
  }

  stats(): ControlPlaneStats {
    const at = (index: number) => Number(this.statsView[index]);
    return {
      lookups: at(0),
      hits: at(1),
      misses: at(2),
      admissions: at(3),
      rejectedAdmissions: at(4),
      evictions: at(5),
      segmentsLive: at(6),
      blocksUsed: at(7),
      blocksTotal: at(8),
    };
  }

  private answer(call: string, result: number): number {
    if (result >= 0) return result;
    // The fault belongs to this refusal only if its code says so; simple refusals note none.
    const [code, row, index, value] = this.faultView as unknown as [number, number, number, number];
    throw new ControlPlaneError(call, result, (code | 0) === result ? { row, index, value } : undefined);
  }
}

function readRegions(
  wasm: ControlPlaneExports,
  geometry: ControlPlaneGeometry,
  buffer: ArrayBuffer,
): ControlPlaneRegions {
  const ingest = wasm.ingestPtr();
  return {
    ...geometry,
    buffer,
    ingestNumClustersOffset: ingest,
    ingestSizesOffset: ingest + 2 * geometry.numLayers * geometry.numKvHeads,
    requestOffset: wasm.requestPtr(),
    requestStride: wasm.requestStride(),
    planOffset: wasm.planPtr(),
    planStride: wasm.planStride(),
    planHeaderBytes: PLAN_HEADER_BYTES,
    planRangeBytes: PLAN_RANGE_BYTES,
    maxRangesPerRow: geometry.maxSelectedPerRow * MAX_RANGES_PER_CLUSTER,
    admissionsOffset: wasm.admissionsPtr(),
    admissionStride: wasm.admissionStride(),
  };
}

function isInt32(value: number): boolean {
  return (value | 0) === value;
}

/** Past 32 bits WASM would wrap the number into another one that may be valid. */
function int32(call: string, value: number): number {
  if (!isInt32(value)) throw new ControlPlaneError(call, -1, undefined, `argument ${value}`);
  return value;
}

function describe(geometry: ControlPlaneGeometry): string {
  return Object.entries(geometry)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}
