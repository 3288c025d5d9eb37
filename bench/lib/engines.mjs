// @ts-check
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { installReference } from "../reference/install.mjs";
import { WorkerProcess } from "./worker-process.mjs";

/** Of the package that carries llama.cpp. @type {string} */
export const REFERENCE_VERSION = JSON.parse(readFileSync(new URL("../reference/package.json", import.meta.url), "utf8"))
  .dependencies["node-llama-cpp"];

/** @returns {WorkerProcess} wavekv in a process of its own */
export function startWavekv() {
  return new WorkerProcess(fileURLToPath(new URL("wavekv-worker.mjs", import.meta.url)));
}

/** @returns {Promise<WorkerProcess>} llama.cpp in a process of its own, installed first where it is not */
export async function startReference() {
  await installReference();
  const script = fileURLToPath(new URL("../reference/llama-worker.mjs", import.meta.url));
  return new WorkerProcess(script, { ...process.env, UV_THREADPOOL_SIZE: "1" });
}
