import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const ADDON = fileURLToPath(new URL("../../build/native/Release/wavekv.node", import.meta.url));
const READY_LIMIT_MS = 180_000;

export const NODE_KEY = "node-key-0123456789";

/** A wavekv node in a process of its own. */
export interface NodeProcess {
  url: string;
  /** Value of one number of /metrics. */
  metric(name: string): Promise<number>;
  stop(): Promise<void>;
}

/** Why no node can be started here, or null. */
export function missingBuild(): string | null {
  const missing = [MAIN, ADDON].filter((path) => !existsSync(path));
  if (missing.length === 0) return null;
  return `run \`npm run build\` first: ${missing.map((path) => path.split("/").slice(-2).join("/")).join(", ")} missing`;
}

/** Starts a node of the default model on a free port and waits until it is ready. */
export async function startNode(): Promise<NodeProcess> {
  const options = ["--port", "0", "--ctx-size", "2048", "--parallel", "2", "--threads", "1", "--api-key", NODE_KEY];
  const child = spawn(process.execPath, [MAIN, "serve", "--model", "smollm2-135m", ...options], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  try {
    const url = await readyUrl(child);
    const metric = async (name: string) => {
      const response = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${NODE_KEY}` } });
      return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(await response.text())?.[1]);
    };
    return { url, metric, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The node prints its address first and then loads; /health turns 200 when it is ready. */
async function readyUrl(child: ChildProcess): Promise<string> {
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk) => {
      output += chunk;
    });
  }
  const deadlineMs = Date.now() + READY_LIMIT_MS;
  while (Date.now() < deadlineMs) {
    const end = child.exitCode ?? child.signalCode;
    if (end !== null) throw new Error(`the node ended with ${end}:\n${output}`);
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(output)?.[0];
    if (url && (await fetch(`${url}/health`)).status === 200) return url;
    await sleep(100);
  }
  throw new Error(`the node was not ready after ${READY_LIMIT_MS} ms:\n${output}`);
}
