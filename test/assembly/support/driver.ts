import {
  type ControlPlaneBuild,
  type ControlPlaneExports,
  type ControlPlaneGeometry,
  geometryArguments,
  instantiate,
  makeMemory,
} from "../../../src/kvcache/control-plane-module.js";

export const BUILDS: readonly ControlPlaneBuild[] = ["debug", "release"];
export const LRU = 0;
export const SIEVE = 1;
export const NONE = 0xffffffff;

export interface Range {
  kind: number;
  location: number;
  start: number;
  count: number;
}

export interface Plan {
  numTokens: number;
  numHits: number;
  numMisses: number;
  ranges: Range[];
}

export interface Admission {
  handle: number;
  slot: number;
  row: number;
  start: number;
  count: number;
  /** Without the NONE that fills unused places. */
  blocks: number[];
}

/** Plays the native side: writes the ingest and request regions, reads plans and admissions, in the drawn layout. */
export class Driver {
  readonly memory;
  readonly bytes: DataView;
  wasm: ControlPlaneExports;
  // Asked once, as native does, so that it can go on writing when the tables are found corrupt.
  private readonly ingest: number;
  private readonly request: number;
  private readonly requestStride: number;

  constructor(
    readonly build: ControlPlaneBuild,
    readonly geometry: ControlPlaneGeometry,
    readonly policy: number,
  ) {
    const sizes = geometryArguments(geometry);
    const sizeBytes = instantiate(build, makeMemory(1)).layoutBytes(...sizes);
    this.memory = makeMemory(sizeBytes);
    this.bytes = new DataView(this.memory.buffer);
    this.wasm = instantiate(build, this.memory);
    const code = this.wasm.init(...sizes, policy);
    if (code !== 0) throw new Error(`init gave ${code}`);
    this.ingest = this.wasm.ingestPtr();
    this.request = this.wasm.requestPtr();
    this.requestStride = this.wasm.requestStride();
  }

  /** A fresh instance on the same memory. */
  reinstantiate(): void {
    this.wasm = instantiate(this.build, this.memory);
  }

  u16(offset: number): number {
    return this.bytes.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.bytes.getUint32(offset, true);
  }

  setU32(offset: number, value: number): void {
    this.bytes.setUint32(offset, value, true);
  }

  handle(slot: number, layer: number, kvHead: number, cluster: number): number {
    const g = this.geometry;
    return ((slot * g.numLayers + layer) * g.numKvHeads + kvHead) * g.maxClusters + cluster;
  }

  /** sizes: of each row's clusters, [layer * numKvHeads + kvHead][cluster]. */
  writeIngest(sizes: readonly (readonly number[])[]): void {
    const g = this.geometry;
    const counts = this.ingest;
    const table = counts + 2 * g.numLayers * g.numKvHeads;
    sizes.forEach((row, rowIndex) => {
      this.bytes.setUint16(counts + 2 * rowIndex, row.length, true);
      row.slice(0, g.maxClusters).forEach((size, index) => {
        this.bytes.setUint16(table + 2 * (rowIndex * g.maxClusters + index), size, true);
      });
    });
  }

  writeRequest(row: number, handles: readonly number[], numSelected = handles.length): void {
    const start = this.request + row * this.requestStride;
    this.setU32(start, numSelected);
    handles.forEach((handle, index) => {
      this.setU32(start + 4 + 4 * index, handle);
    });
  }

  lookup(layer: number, rows: readonly (readonly number[])[]): number {
    rows.forEach((handles, row) => {
      this.writeRequest(row, handles);
    });
    return this.wasm.lookup(layer, rows.length);
  }

  plan(row: number): Plan {
    const start = this.wasm.planPtr() + row * this.wasm.planStride();
    const word = (index: number) => this.u32(start + 4 * index);
    const ranges = Array.from({ length: word(0) }, (_, index) => ({
      kind: word(4 + 4 * index),
      location: word(5 + 4 * index),
      start: word(6 + 4 * index),
      count: word(7 + 4 * index),
    }));
    return { numTokens: word(1), numHits: word(2), numMisses: word(3), ranges };
  }

  admissions(): Admission[] {
    return Array.from({ length: this.wasm.numAdmissions() }, (_, index) => {
      const start = this.wasm.admissionsPtr() + index * this.wasm.admissionStride();
      const words = Array.from({ length: 9 }, (_, word) => this.u32(start + 4 * word)) as number[];
      const [handle, slot, row, first, count, ...blocks] = words as [number, number, number, number, number];
      return { handle, slot, row, start: first, count, blocks: (blocks as number[]).filter((b) => b !== NONE) };
    });
  }

  stats(): number[] {
    const start = this.wasm.statsPtr();
    return Array.from({ length: 9 }, (_, index) => Number(this.bytes.getBigUint64(start + 8 * index, true)));
  }

  /** The last refusal: code, row, index, value. */
  fault(): number[] {
    const start = this.wasm.faultPtr();
    return [this.bytes.getInt32(start, true), this.u32(start + 4), this.u32(start + 8), this.u32(start + 12)];
  }

  /** Byte offset of a region: segments, rowCounts, clusters, cached, blocks, pending, ... in the drawn order. */
  region(index: number): number {
    return this.u32(1024 + 200 + 4 * index);
  }
}

/** Numbers 0 <= x < 1, the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Cluster sizes of 1..32 tokens that sum to `tokens`, in at most maxClusters clusters. */
export function randomSizes(random: () => number, tokens: number, maxClusters: number): number[] {
  const sizes: number[] = [];
  for (let left = tokens; left > 0; ) {
    const placesAfter = maxClusters - sizes.length - 1;
    const least = Math.max(1, left - 32 * placesAfter);
    const size = least + Math.floor(random() * (Math.min(32, left) - least + 1));
    sizes.push(size);
    left -= size;
  }
  return sizes;
}
