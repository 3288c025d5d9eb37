import { randomUUID } from "node:crypto";
import { link, readFile, rename, rm, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

export interface LockOptions {
  signal?: AbortSignal;
  /** Called once when another process holds the lock. */
  onWait?: (holderPid: number) => void;
  /** A lock that was not refreshed for so long belongs to nobody. */
  staleMs?: number;
  pollMs?: number;
}

interface LockRecord {
  token: string;
  pid: number;
  host: string;
}

/**
 * Runs `body` while this process alone holds the lock file `path`; waits for another holder to finish. The lock of a
 * process that died is taken over: at once on the same host, after `staleMs` without a refresh on a shared disk.
 */
export async function withFileLock<T>(path: string, body: () => Promise<T>, options: LockOptions = {}): Promise<T> {
  const { staleMs = 30_000, pollMs = 200 } = options;
  const record: LockRecord = { token: randomUUID(), pid: process.pid, host: hostname() };
  let told = false;
  while (!(await tryCreate(path, record))) {
    options.signal?.throwIfAborted();
    const holder = await readHolder(path);
    if (holder && (await isDead(path, holder, staleMs))) {
      await removeStale(path, holder);
      continue;
    }
    if (holder && !told) {
      told = true;
      options.onWait?.(holder.pid);
    }
    await sleep(pollMs);
  }
  const heartbeat = setInterval(() => refresh(path), Math.max(50, staleMs / 6));
  heartbeat.unref();
  try {
    return await body();
  } finally {
    clearInterval(heartbeat);
    if ((await readHolder(path))?.token === record.token) await rm(path, { force: true });
  }
}

async function tryCreate(path: string, record: LockRecord): Promise<boolean> {
  // Written aside and linked, so that nobody ever reads a lock file that is half written.
  const aside = `${path}.${record.token}`;
  await writeFile(aside, JSON.stringify(record));
  try {
    await link(aside, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(aside, { force: true });
  }
}

async function readHolder(path: string): Promise<LockRecord | null> {
  try {
    const record = JSON.parse(await readFile(path, "utf8")) as Partial<LockRecord>;
    return { token: String(record.token), pid: Number(record.pid), host: String(record.host) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    // Not ours to read: judged by its age alone.
    return { token: "", pid: 0, host: "" };
  }
}

async function isDead(path: string, holder: LockRecord, staleMs: number): Promise<boolean> {
  if (holder.host === hostname() && holder.pid > 0 && !isAlive(holder.pid)) return true;
  const info = await stat(path).catch(() => null);
  return info !== null && Date.now() - info.mtimeMs > staleMs;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Moves the lock away and looks again: if a new holder came in between, its lock is put back. */
async function removeStale(path: string, judged: LockRecord): Promise<void> {
  const aside = `${path}.stale.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  if ((await readHolder(aside))?.token !== judged.token) {
    await link(aside, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
  await unlink(aside);
}

function refresh(path: string): void {
  const now = new Date();
  // A lock that was taken away shows when it is released; the refresh itself has nothing to mend.
  utimes(path, now, now).catch(() => undefined);
}
