/** `wavekv serve`: opens the socket, loads the model behind it, serves until a signal. */

import { pino } from "pino";
import type { ApiContext } from "../api/api-context.js";
import { createApp } from "../api/app.js";
import { NodeMetrics } from "../api/metrics.js";
import { NodeState } from "../api/node-state.js";
import { listen, type NodeServer } from "../api/server.js";
import { type Config, ConfigError } from "../config.js";
import { loadNode } from "./load-node.js";
import { fetchReporting } from "./progress-bar.js";
import { readyText } from "./ready-text.js";

/** Resolves to the exit code: 0 after a signal. */
export async function serve(config: Config): Promise<number> {
  const logger = createLogger(config.logLevel);
  const state = new NodeState();
  const settings = { apiKey: config.apiKey, pingIntervalMs: config.pingInterval * 1000 };
  const api: ApiContext = { state, settings, logger, metrics: new NodeMetrics() };
  const server = await openSocket(config, api);
  process.on("unhandledRejection", (error) => logger.error({ err: error }, "unhandled rejection"));
  const stopSignal = nextSignal();
  process.stdout.write(`wavekv listens on ${server.url} and loads ${config.model}\n`);

  const fetching = new AbortController();
  const loaded = loadInto(state, config, server, fetching.signal);
  try {
    const signal = await Promise.race([stopSignal, loaded.then(() => stopSignal)]);
    logger.info({ signal }, "stopping");
  } catch (error) {
    await server.close(0);
    throw error;
  }
  fetching.abort();
  await stop(state, server, config.shutdownTimeout * 1000);
  return 0;
}

async function loadInto(state: NodeState, config: Config, server: NodeServer, signal: AbortSignal): Promise<void> {
  const reporting = fetchReporting(config.model);
  const startMs = performance.now();
  try {
    const node = await loadNode(config, { ...reporting, signal });
    state.ready(node);
    if (state.phase === "ready") process.stdout.write(readyText(node, config, server.url, performance.now() - startMs));
  } finally {
    reporting.stop();
  }
}

async function stop(state: NodeState, server: NodeServer, deadlineMs: number): Promise<void> {
  // A second signal means now.
  void nextSignal().then(() => process.exit(1));
  await server.close(deadlineMs);
  await state.node?.engine.close();
  // A model that is still loading holds the process: nothing waits for it any more.
  process.exit(0);
}

function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, resolve);
  });
}

async function openSocket(config: Config, api: ApiContext): Promise<NodeServer> {
  try {
    return await listen(createApp(api), api.state, config);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === "EADDRINUSE" ? "another program listens there" : message;
    throw new ConfigError(`cannot listen on --host ${config.host} --port ${config.port}: ${reason}`);
  }
}

function createLogger(level: Config["logLevel"]) {
  const quietOnTerminal = process.stderr.isTTY ? "warn" : "info";
  return pino({ level: level === "auto" ? quietOnTerminal : level }, pino.destination({ dest: 2, sync: false }));
}
