// @ts-check
// What package-lock.json says, and whether node_modules agrees with it.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";

/** @typedef {Record<string, { version?: string, optional?: boolean, devOptional?: boolean, peer?: boolean }>} LockPackages */

const LOCK = "package-lock.json";
/** npm's own record of what it installed. */
const INSTALLED = "node_modules/.package-lock.json";

export function lockHash() {
  return createHash("sha256").update(readFileSync(LOCK)).digest("hex");
}

/** @param {string} path @returns {LockPackages} */
function packagesOf(path) {
  return JSON.parse(readFileSync(path, "utf8")).packages ?? {};
}

/** @type {LockPackages | undefined} */
let locked;

/** @param {string} name @returns {string | undefined} */
export function lockedVersion(name) {
  locked ??= packagesOf(LOCK);
  return locked[`node_modules/${name}`]?.version;
}

/** True if every package of the lock file is installed in its version; optional ones may be left out. */
export function installedMatchesLock() {
  if (!existsSync(INSTALLED)) return false;
  const installed = packagesOf(INSTALLED);
  return Object.entries(packagesOf(LOCK)).every(([path, { version, optional, devOptional }]) => {
    if (path === "") return true;
    const present = installed[path];
    return present ? present.version === version && existsSync(path) : Boolean(optional || devOptional);
  });
}
