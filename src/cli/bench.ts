/** `wavekv bench`: runs one of the programs in bench/ in a process of its own, so that nothing of this one disturbs it. */

import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../config.js";

const BENCH_FOLDER = fileURLToPath(new URL("../../bench/", import.meta.url));
const EXTENSION = ".mjs";

/** Names of the benchmarks that this installation has. */
export function listBenches(): string[] {
  if (!existsSync(BENCH_FOLDER)) return [];
  const files = readdirSync(BENCH_FOLDER).filter((file) => file.endsWith(EXTENSION));
  return files.map((file) => file.slice(0, -EXTENSION.length)).sort();
}

/** Resolves to the benchmark's own exit code. Throws ConfigError for a name that is not there. */
export async function runBench(name: string, args: readonly string[]): Promise<number> {
  const known = listBenches();
  if (!known.includes(name)) {
    throw new ConfigError(`there is no benchmark ${name}; there are: ${known.join(", ") || "none"}`);
  }
  const child = spawn(process.execPath, [`${BENCH_FOLDER}${name}${EXTENSION}`, ...args], { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
}
