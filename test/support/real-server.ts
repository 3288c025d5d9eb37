import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export const REAL_MODEL = "smollm2-135m";

const START_LIMIT_MS = 60_000;

export interface RealServer {
  url: string;
  child: ChildProcess;
  /** What the server printed so far. */
  output(): string;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** False, with the reason printed, where the project is not built. */
export function hasBuild(): boolean {
  const missing = ["dist/main.js", "build/native/Release/wavekv.node"].filter((path) => !existsSync(path));
  if (missing.length > 0) console.warn(`skipped: ${missing.join(" and ")} missing; npm run build makes them`);
  return missing.length === 0;
}

/** Starts `node dist/main.js serve` on a free port with the default model; resolves when /health says ok. */
export async function startRealServer(...args: string[]): Promise<RealServer> {
  const child = spawn(process.execPath, ["dist/main.js", "serve", "--port", "0", "--model", REAL_MODEL, ...args]);
  let printed = "";
  child.stdout.on("data", (data) => {
    printed += data;
  });
  child.stderr.on("data", (data) => {
    printed += data;
  });
  const deadlineMs = performance.now() + START_LIMIT_MS;
  const failed = (why: string) => new Error(`the server ${why}:\n${printed}`);
  const url = () => /listens on (http:\S+)/.exec(printed)?.[1];
  while (!url()) {
    if (child.exitCode !== null) throw failed("ended");
    if (performance.now() > deadlineMs) throw failed("did not start");
    await sleep(20);
  }
  const base = url() as string;
  while ((await fetch(`${base}/health`).catch(() => null))?.status !== 200) {
    if (child.exitCode !== null) throw failed("ended");
    if (performance.now() > deadlineMs) throw failed("did not get ready");
    await sleep(50);
  }
  return {
    url: base,
    child,
    output: () => printed,
    async stop(signal = "SIGTERM") {
      if (child.exitCode !== null) return child.exitCode;
      const ended = once(child, "exit");
      child.kill(signal);
      await ended;
      return child.exitCode;
    },
  };
}
