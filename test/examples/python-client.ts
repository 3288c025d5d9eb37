import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { runExample } from "./run-example.js";

const REQUIREMENTS = "examples/analyse-log/requirements.txt";

/** A folder for PYTHONPATH with the example's packages, or why there is none. */
export type PythonClient = { folder: string; why?: undefined } | { folder?: undefined; why: string };

/**
 * Installs the requirements once, into a folder named by their hash that later runs find again. A plain target folder
 * needs only pip, where a virtual environment needs one more system package on Debian.
 */
export async function installPythonClient(): Promise<PythonClient> {
  const hash = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex").slice(0, 12);
  const folder = resolve("build", "python", hash);
  if (existsSync(folder)) return { folder };
  const partial = `${folder}.${process.pid}`;
  const args = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", partial];
  const run = await runExample("python3", [...args, "-r", REQUIREMENTS]).catch((error: Error) => error);
  if (run instanceof Error || run.code !== 0) {
    rmSync(partial, { recursive: true, force: true });
    return { why: `python3 cannot install the openai package: ${run instanceof Error ? run.message : run.stderr}` };
  }
  // Renamed when complete: an interrupted installation is never taken for one.
  renameSync(partial, folder);
  return { folder };
}
