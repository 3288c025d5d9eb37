import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { inject } from "vitest";
import { unstable_readConfig } from "wrangler";

export interface Gateway {
  url: string;
  /** What the Worker has logged so far: JSON lines, and complaints of the runtime. */
  logged(): string;
  stop(): Promise<void>;
}

const requireFromWrangler = createRequire(createRequire(import.meta.url).resolve("wrangler"));

/** A key that the gateways of these tests accept. */
export const GATEWAY_KEY = "client-key-0123456789";

/**
 * Runs the bundled Worker in workerd on a loopback port of its own, with the date and flags of wrangler.toml. No development proxy
 * stands between: what a test sends is what the Worker gets.
 */
export async function startGateway(variables: Record<string, string>): Promise<Gateway> {
  const dir = await mkdtemp(join(tmpdir(), "wavekv-workerd-"));
  const configPath = join(dir, "config.capnp");
  await writeFile(configPath, workerdConfig({ GATEWAY_KEYS: GATEWAY_KEY, ...variables }));
  const workerd: string = requireFromWrangler("workerd").default;
  const child = spawn(workerd, ["serve", configPath, `--import-path=${inject("gatewayBundleDir")}`, "--control-fd=3"], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr?.on("data", (chunk) => {
    log += chunk;
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const port = await listeningPort(child, () => log);
  return {
    url: `http://127.0.0.1:${port}`,
    logged: () => log,
    async stop() {
      child.kill("SIGKILL");
      await exited;
      await rm(dir, { recursive: true });
    },
  };
}

/** A JSON string is a valid string of the configuration's language too. */
function workerdConfig(variables: Record<string, string>): string {
  const wrangler = unstable_readConfig({ config: fileURLToPath(new URL("../../wrangler.toml", import.meta.url)) });
  const bindings = Object.entries(variables).map(
    ([name, value]) => `( name = ${JSON.stringify(name)}, text = ${JSON.stringify(value)} )`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "gateway", worker = .gateway),
    (name = "internet", network = (allow = ["private", "public"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "gateway")],
);
const gateway :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed "/index.js")],
  compatibilityDate = ${JSON.stringify(wrangler.compatibility_date)},
  compatibilityFlags = ${JSON.stringify(wrangler.compatibility_flags)},
  bindings = [${bindings.join(", ")}],
);
`;
}

/** workerd reports the port that it was given on its control pipe; if it ends first, its complaint is the error. */
function listeningPort(child: ChildProcess, log: () => string): Promise<number> {
  return new Promise((resolve, reject) => {
    (child.stdio[3] as Readable).on("data", (chunk) => {
      const event = /"event":"listen".*"port":(\d+)/.exec(String(chunk));
      if (event) resolve(Number(event[1]));
    });
    child.once("exit", (code) => reject(new Error(`workerd ended with code ${code}: ${log()}`)));
  });
}
