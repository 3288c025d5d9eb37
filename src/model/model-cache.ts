import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { ModelFetchError } from "./fetch-error.js";

/** What a file must be. `sha256` is null where the source publishes no hash: then the size alone is checked. */
export interface ExpectedFile {
  sizeBytes: number;
  sha256: string | null;
}

interface Verification {
  sha256: string;
  sizeBytes: number;
  mtimeMs: number;
}

/** `$XDG_CACHE_HOME/wavekv/models`, by default under `~/.cache`: the platform's convention, outside any checkout. */
export function defaultCacheDir(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "wavekv", "models");
}

/** True if the file is there and is what is expected. Its hash is computed only if it changed since the last time. */
export async function isVerified(path: string, expected: ExpectedFile): Promise<boolean> {
  const info = await stat(path).catch(() => null);
  if (!info?.isFile() || info.size !== expected.sizeBytes) return false;
  if (expected.sha256 === null) return true;
  const known = await readVerification(path);
  if (known && known.sizeBytes === info.size && known.mtimeMs === info.mtimeMs) return known.sha256 === expected.sha256;
  const sha256 = await hashFile(path);
  await rememberVerification(path, sha256);
  return sha256 === expected.sha256;
}

/** True if a verification of this very file is on record, without reading the file. */
export async function hasVerification(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => null);
  const known = info && (await readVerification(path));
  return Boolean(known && known.sizeBytes === info?.size && known.mtimeMs === info.mtimeMs);
}

/** Checks a finished `.part` file and gives it its name. A file that is not what was expected is deleted. */
export async function publishPart(partPath: string, path: string, expected: ExpectedFile): Promise<void> {
  const { size } = await stat(partPath);
  const sha256 = await hashFile(partPath);
  if (size !== expected.sizeBytes || (expected.sha256 !== null && sha256 !== expected.sha256)) {
    await rm(partPath, { force: true });
    const message =
      `what was received is not the expected file (${size} bytes, sha256 ${sha256}; ` +
      `expected ${expected.sizeBytes} bytes, sha256 ${expected.sha256 ?? "unknown"}); it was deleted`;
    throw new ModelFetchError("hash_mismatch", message);
  }
  const handle = await open(partPath, "r+");
  await handle.sync();
  await handle.close();
  await rename(partPath, path);
  await rememberVerification(path, sha256);
}

/** Fails before the first byte where the disk cannot hold what is to come. */
export async function requireFreeSpace(path: string, neededBytes: number): Promise<void> {
  const directory = dirname(path);
  const disk = await statfs(directory);
  const freeBytes = disk.bavail * disk.bsize;
  if (freeBytes >= neededBytes) return;
  const message =
    `${directory} has ${megabytes(freeBytes)} MB free and ${megabytes(neededBytes)} MB are needed; ` +
    "free some space there, or set XDG_CACHE_HOME";
  throw new ModelFetchError("no_space", message);
}

export async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Size of the file, or 0 if there is none. */
export async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

function sidecarPath(path: string): string {
  return `${path}.verified.json`;
}

async function rememberVerification(path: string, sha256: string): Promise<void> {
  const info = await stat(path);
  const record: Verification = { sha256, sizeBytes: info.size, mtimeMs: info.mtimeMs };
  await writeFile(sidecarPath(path), JSON.stringify(record));
}

/** A record that cannot be read is no record: the file is then hashed again. */
async function readVerification(path: string): Promise<Verification | null> {
  try {
    return JSON.parse(await readFile(sidecarPath(path), "utf8")) as Verification;
  } catch {
    return null;
  }
}

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1e6);
}
