import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Sizes that fix the memory's layout; all are counts >= 1, blockCapacity may be 0. */
export interface ControlPlaneGeometry {
  numLayers: number;
  numKvHeads: number;
  /** Clusters that one row of a segment can have: at most 65,535. */
  maxClusters: number;
  /** Tokens of a segment: at most 65,536 and at most 32 * maxClusters. */
  segmentTokens: number;
  /** Segments that can be live at once. */
  segmentCapacity: number;
  /** Blocks (8 vectors) of the block cache. */
  blockCapacity: number;
  /** Rows of one lookup: sequences * KV heads. */
  maxRows: number;
  /** Clusters that one row can select in one lookup. */
  maxSelectedPerRow: number;
}

/** The module's exports as they are; codes < 0 are refusals. */
export interface ControlPlaneExports {
  layoutBytes(...geometry: number[]): number;
  init(...geometryAndPolicy: number[]): number;
  allocateSegment(inPlace: number): number;
  publishSegment(slot: number): number;
  retainSegment(slot: number): number;
  releaseSegment(slot: number): number;
  lookup(layer: number, numRows: number): number;
  planAdmissions(): number;
  checkIntegrity(): number;
  ingestPtr(): number;
  requestPtr(): number;
  planPtr(): number;
  admissionsPtr(): number;
  requestStride(): number;
  planStride(): number;
  admissionStride(): number;
  numAdmissions(): number;
  statsPtr(): number;
  faultPtr(): number;
}

export type ControlPlaneBuild = "release" | "debug";

export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

/** The part of the global that is used here; Node's own types leave it out. */
interface WasmApi {
  Module: new (bytes: Uint8Array) => object;
  Memory: new (size: { initial: number; maximum: number }) => WasmMemory;
  Instance: new (module: object, imports: { env: { memory: WasmMemory } }) => { exports: object };
}

const wasm = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly;

const PAGE_BYTES = 65_536;
const MAX_PAGES = 65_536;

// src/kvcache and dist/kvcache lie equally deep, so one path serves both.
const FILES: Record<ControlPlaneBuild, string> = {
  release: "../../build/wasm/control-plane.wasm",
  debug: "../../build/wasm/control-plane.debug.wasm",
};

const modules = new Map<ControlPlaneBuild, object>();

function loadModule(build: ControlPlaneBuild): object {
  const known = modules.get(build);
  if (known !== undefined) return known;
  const path = fileURLToPath(new URL(FILES[build], import.meta.url));
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new Error(`control plane: cannot read ${path}; build it with "npm run build:wasm"`, { cause });
  }
  const module = new wasm.Module(bytes);
  modules.set(build, module);
  return module;
}

/** A memory of fixed size (initial = maximum), so that views and native pointers into it stay valid for its lifetime. */
export function makeMemory(sizeBytes: number): WasmMemory {
  const pages = Math.ceil(sizeBytes / PAGE_BYTES);
  if (pages > MAX_PAGES) throw new Error(`control plane: its tables need ${sizeBytes} bytes, past the limit of 4 GiB`);
  try {
    return new wasm.Memory({ initial: pages, maximum: pages });
  } catch (cause) {
    throw new Error(`control plane: cannot reserve ${pages * PAGE_BYTES} bytes for its tables`, { cause });
  }
}

/** A fresh instance on a memory. It carries on where an earlier one on the same memory stopped. */
export function instantiate(build: ControlPlaneBuild, memory: WasmMemory): ControlPlaneExports {
  return new wasm.Instance(loadModule(build), { env: { memory } }).exports as ControlPlaneExports;
}

/** The geometry in the order of the exports' arguments. */
export function geometryArguments(geometry: ControlPlaneGeometry): number[] {
  return [
    geometry.numLayers,
    geometry.numKvHeads,
    geometry.maxClusters,
    geometry.segmentTokens,
    geometry.segmentCapacity,
    geometry.blockCapacity,
    geometry.maxRows,
    geometry.maxSelectedPerRow,
  ];
}
