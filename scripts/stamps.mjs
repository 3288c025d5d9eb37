// @ts-check
// A step's stamp is the hash of what it was made from: the step is done again only when that changes.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const STAMP_DIR = "build/stamps";

/**
 * Hash of the files under `paths`, names and contents, and of further facts such as a tool's version.
 *
 * @param {string[]} paths files or folders; those that are missing count as missing
 * @param {{ except?: string[], facts?: (string | undefined)[] }} [options]
 */
export function hashInputs(paths, { except = [], facts = [] } = {}) {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([process.platform, process.arch, facts]));
  for (const path of paths.flatMap((root) => listFiles(root)).sort()) {
    if (except.some((skipped) => path.startsWith(skipped))) continue;
    hash.update(`${path}\0${statSync(path).size}\0`).update(readFileSync(path));
  }
  return hash.digest("hex");
}

/** @param {string} root @returns {string[]} */
function listFiles(root) {
  if (!existsSync(root)) return [];
  if (statSync(root).isFile()) return [root];
  return readdirSync(root, { withFileTypes: true }).flatMap((entry) => {
    const path = join(root, entry.name);
    if (entry.isDirectory()) return listFiles(path);
    return entry.isFile() ? [path] : [];
  });
}

/** @param {string} step @param {string} hash */
export function isStamped(step, hash) {
  const path = join(STAMP_DIR, step);
  return existsSync(path) && readFileSync(path, "utf8") === hash;
}

/** @param {string} step @param {string} hash */
export function writeStamp(step, hash) {
  mkdirSync(STAMP_DIR, { recursive: true });
  writeFileSync(join(STAMP_DIR, step), hash);
}
