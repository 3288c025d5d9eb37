// @ts-check
import { fileURLToPath } from "node:url";
import { installReference } from "../reference/install.mjs";
import { WorkerProcess } from "./worker-process.mjs";

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
