// @ts-check
import { arch, cpus, release, totalmem, type } from "node:os";
import { loadAddon } from "../../dist/native/addon.js";

/** @returns {{ cpu: string, numCpus: number, simdLevel: string, memoryGiB: number, system: string, node: string }} */
export function describeHardware() {
  const { numCpus, simdLevel } = loadAddon().cpuInfo();
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    numCpus,
    simdLevel,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    node: process.version,
  };
}
