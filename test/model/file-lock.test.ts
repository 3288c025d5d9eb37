import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { withFileLock } from "../../src/model/file-lock.js";

let directory: string;
let lock: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wavekv-lock-"));
  lock = join(directory, "x.lock");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const writeLock = (pid: number, host = hostname()) => writeFile(lock, JSON.stringify({ token: "someone", pid, host }));

it("lets one in at a time, in turn, and leaves nothing behind", async () => {
  let inside = 0;
  let most = 0;
  let waited = 0;
  const enter = () =>
    withFileLock(
      lock,
      async () => {
        most = Math.max(most, ++inside);
        await sleep(15);
        inside--;
      },
      { pollMs: 5, onWait: () => waited++ },
    );
  await Promise.all(Array.from({ length: 8 }, enter));
  expect(most).toBe(1);
  expect(waited).toBe(7);
  expect(await readdir(directory)).toEqual([]);
});

it("is released when the body throws", async () => {
  const failing = withFileLock(lock, () => Promise.reject(new Error("no luck")));
  await expect(failing).rejects.toThrow("no luck");
  expect(existsSync(lock)).toBe(false);
});

it("of a process that died is taken over by one of many", async () => {
  const child = spawn(process.execPath, ["-e", ""]);
  await once(child, "exit");
  await writeLock(child.pid!);
  let inside = 0;
  let most = 0;
  const enter = () =>
    withFileLock(
      lock,
      async () => {
        most = Math.max(most, ++inside);
        await sleep(10);
        inside--;
      },
      { pollMs: 2 },
    );
  await Promise.all(Array.from({ length: 5 }, enter));
  expect(most).toBe(1);
});

it("of another host holds until it is no longer refreshed", async () => {
  await writeLock(1, "another-host");
  const controller = new AbortController();
  const waiting = withFileLock(lock, async () => "in", { pollMs: 5, staleMs: 60_000, signal: controller.signal });
  const outcome = await Promise.race([waiting, sleep(100).then(() => "waiting")]);
  expect(outcome).toBe("waiting");
  const old = new Date(Date.now() - 120_000);
  await utimes(lock, old, old);
  expect(await waiting).toBe("in");
});

it("stops waiting when it is told to", async () => {
  await writeLock(process.pid);
  const asked = withFileLock(lock, async () => "in", { pollMs: 5, signal: AbortSignal.timeout(50) });
  await expect(asked).rejects.toMatchObject({ name: "TimeoutError" });
});
