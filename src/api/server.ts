/** The listening socket: opened before the model is loaded, closed after the last running request. */

import { createServer, type Server, type ServerResponse } from "node:http";
import { getRequestListener } from "@hono/node-server";
import type { createApp } from "./app.js";
import { errorResponse } from "./error-body.js";
import type { NodeState } from "./node-state.js";

/** Longer than the idle time of common load balancers, so that they close first. */
const KEEP_ALIVE_MS = 75_000;
/** How long a cancelled request may take to send its error before its connection is cut. */
const CANCEL_GRACE_MS = 2_000;

export interface NodeServer {
  /** Base URL, with the port that was given by the system where port 0 was asked for. */
  url: string;
  port: number;
  /** Stops accepting, lets running requests finish for up to `deadlineMs`, then cancels them. */
  close(deadlineMs: number): Promise<void>;
}

/** Listens on `host:port`; rejects when the address cannot be had. */
export async function listen(
  app: ReturnType<typeof createApp>,
  state: NodeState,
  { host, port }: { host: string; port: number },
): Promise<NodeServer> {
  const server = createServer(
    { keepAliveTimeout: KEEP_ALIVE_MS, noDelay: true },
    getRequestListener(app.fetch, { overrideGlobalObjects: false, errorHandler: unreadableRequest }),
  );
  const answering = new Set<ServerResponse>();
  server.on("request", (_request, response: ServerResponse) => {
    answering.add(response);
    response.once("close", () => answering.delete(response));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const actualPort = (server.address() as { port: number }).port;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${actualPort}`,
    port: actualPort,
    close: (deadlineMs) => closeServer(server, state, answering, deadlineMs),
  };
}

/** A request that cannot be read as one at all, such as one with a bad Host header. */
function unreadableRequest(error: unknown): Response {
  const { body } = errorResponse(error);
  return Response.json(
    { error: { ...body.error, message: "The request is malformed.", type: "invalid_request_error" } },
    { status: 400 },
  );
}

async function closeServer(
  server: Server,
  state: NodeState,
  answering: ReadonlySet<ServerResponse>,
  deadlineMs: number,
): Promise<void> {
  state.stopping();
  server.close();
  server.closeIdleConnections();
  await Promise.race([state.drained(), delay(deadlineMs)]);
  state.cancelAll();
  await Promise.race([state.drained(), delay(CANCEL_GRACE_MS)]);
  // Last bytes may still be on their way; connections that never sent a request are not waited for.
  const closing = [...answering].map((response) => new Promise<void>((resolve) => response.once("close", resolve)));
  await Promise.race([Promise.all(closing), delay(CANCEL_GRACE_MS)]);
  server.closeAllConnections();
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
