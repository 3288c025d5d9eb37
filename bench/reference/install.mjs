// @ts-check
// Installs llama.cpp's package for the measurements that need it, on demand and into this folder only.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runCommand } from "../../scripts/run-command.mjs";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const STAMP = `${FOLDER}node_modules/.wavekv-lock-hash`;

/**
 * Makes sure that the locked packages are installed; does nothing when they are. No package's own script is run: the
 * library comes compiled. Throws with npm's output where it cannot be installed.
 */
export async function installReference() {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(`the llama.cpp reference is for Linux on x86-64, this is ${process.platform} on ${process.arch}`);
  }
  const lockHash = createHash("sha256")
    .update(readFileSync(`${FOLDER}package-lock.json`))
    .digest("hex");
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === lockHash) return;
  // Not `npm ci`: it wants every optional platform package in the lock, and not all of them are published.
  const args = [
    "install",
    "--no-save",
    "--prefix",
    FOLDER,
    "--omit=optional",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
  ];
  const { status, output } = await runCommand("npm", args, { timeoutMs: 5 * 60_000 });
  if (status !== 0) throw new Error(`npm ${args.join(" ")} failed with status ${status}:\n${output.trimEnd()}`);
  writeFileSync(STAMP, lockHash);
}
