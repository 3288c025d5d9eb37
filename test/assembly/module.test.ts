import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { CONTROL_PLANE_CODES } from "../../src/kvcache/control-plane-errors.js";
import { geometryArguments, instantiate, makeMemory } from "../../src/kvcache/control-plane-module.js";
import { BUILDS, Driver, LRU } from "./support/driver.js";

const SMALL = {
  numLayers: 2,
  numKvHeads: 3,
  maxClusters: 5,
  segmentTokens: 40,
  segmentCapacity: 2,
  blockCapacity: 7,
  maxRows: 4,
  maxSelectedPerRow: 6,
};

type WasmModule = { Module: { new (bytes: Uint8Array): object; imports(module: object): unknown[] } };
const wasmApi = (globalThis as unknown as { WebAssembly: WasmModule }).WebAssembly;

describe("error codes", () => {
  it("are mirrored one to one, with words", () => {
    const source = readFileSync(fileURLToPath(new URL("../../assembly/errors.ts", import.meta.url)), "utf8");
    const declared = [...source.matchAll(/export const (\w+): i32 = (-\d+);/g)].map(([, name, code]) => [
      name,
      Number(code),
    ]);
    expect(declared.length).toBeGreaterThan(30);
    expect(Object.entries(CONTROL_PLANE_CODES).map(([name, [code]]) => [name, code])).toEqual(declared);
    expect(new Set(declared.map(([, code]) => code)).size).toBe(declared.length);
  });
});

describe.each(BUILDS)("module, %s build", (build) => {
  const name = build === "release" ? "control-plane.wasm" : "control-plane.debug.wasm";
  const file = new URL(`../../build/wasm/${name}`, import.meta.url);

  it("imports a memory and nothing else, and leaves it as it is when instantiated", () => {
    const module = new wasmApi.Module(readFileSync(fileURLToPath(file)));
    expect(wasmApi.Module.imports(module)).toEqual([{ module: "env", name: "memory", kind: "memory" }]);
    const memory = makeMemory(3 * 65_536);
    const bytes = new Uint8Array(memory.buffer).fill(0xa5);
    instantiate(build, memory);
    expect(bytes.every((byte) => byte === 0xa5)).toBe(true);
  });

  it("takes a memory of any size", () => {
    for (const sizeBytes of [1, 65_536, 65_537, 200 * 65_536]) {
      expect(instantiate(build, makeMemory(sizeBytes)).allocateSegment(0)).toBe(-3);
    }
  });

  it("says how many bytes it needs, past 4 GiB too, and refuses sizes out of range", () => {
    const wasm = instantiate(build, makeMemory(1));
    const bytes = (change: Partial<typeof SMALL>) => wasm.layoutBytes(...geometryArguments({ ...SMALL, ...change }));
    // Header, then each region rounded up to 64 bytes, as drawn in assembly/layout.ts.
    const regions = [2 * 16, 12 * 2, 60 * 8, 7 * 32, 7 * 8, 7 * 4, 12 + 60, 4 * 28, 4 * (16 + 16 * 24), 7 * 36];
    expect(bytes({})).toBe(1536 + regions.reduce((sum, size) => sum + Math.ceil(size / 64) * 64, 0));
    expect(bytes({ maxClusters: 65_535, segmentCapacity: 1 << 20 })).toBeGreaterThan(2 ** 41);
    expect(bytes({ blockCapacity: 0 })).toBeGreaterThan(0);
    for (const name of Object.keys(SMALL) as (keyof typeof SMALL)[]) {
      expect(bytes({ [name]: -1 })).toBe(-1);
      if (name !== "blockCapacity") expect(bytes({ [name]: 0 })).toBe(-1);
      expect(bytes({ [name]: 2 ** 31 - 1 })).toBe(-1);
    }
    expect(bytes({ segmentTokens: 5 * 32 + 1 })).toBe(-1);
  });

  it("refuses to lay itself out in too small a memory, under an unknown policy, or with sizes out of range", () => {
    const sizes = geometryArguments({ ...SMALL, maxClusters: 5000, segmentTokens: 5000 });
    const wasm = instantiate(build, makeMemory(65_536));
    expect(wasm.init(...sizes, LRU)).toBe(-2);
    expect(wasm.checkIntegrity()).toBe(-3);
    expect(wasm.init(...geometryArguments(SMALL), 2)).toBe(-1);
    expect(wasm.init(...geometryArguments({ ...SMALL, maxRows: 0 }), LRU)).toBe(-1);
    expect(wasm.init(...geometryArguments(SMALL), LRU)).toBe(0);
    expect(wasm.checkIntegrity()).toBe(0);
  });

  it("refuses every call before init", () => {
    const wasm = instantiate(build, makeMemory(1));
    const { publishSegment, retainSegment, releaseSegment, lookup, planAdmissions, checkIntegrity } = wasm;
    const pointers = [wasm.ingestPtr, wasm.requestPtr, wasm.planPtr, wasm.admissionsPtr, wasm.planStride];
    const calls = [publishSegment, retainSegment, releaseSegment, planAdmissions, checkIntegrity, ...pointers];
    for (const call of calls) expect(call(0)).toBe(-3);
    expect(lookup(0, 0)).toBe(-3);
  });

  it("starts empty after a second init on a used memory", () => {
    const driver = new Driver(build, SMALL, LRU);
    const sizes = Array.from({ length: 6 }, () => [8, 8, 8, 8, 8]);
    driver.writeIngest(sizes);
    expect(driver.wasm.allocateSegment(0)).toBe(0);
    expect(driver.wasm.publishSegment(0)).toBe(0);
    expect(driver.lookup(0, [[0, 1, 2]])).toBe(3);
    expect(driver.wasm.planAdmissions()).toBe(3);
    expect(driver.wasm.init(...geometryArguments(SMALL), LRU)).toBe(0);
    expect(driver.stats()).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 7]);
    expect(driver.wasm.numAdmissions()).toBe(0);
    expect(driver.wasm.checkIntegrity()).toBe(0);
    expect(driver.lookup(0, [[0]])).toBe(-12);
  });
});
