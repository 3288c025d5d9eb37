/** One record a request: its id, and when it is over its log line and its counts. Neither holds any text of a prompt. */

import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { Context, MiddlewareHandler } from "hono";
import type { ApiContext, ApiEnv } from "./api-context.js";
import type { Usage } from "./text-generation.js";

const PROBE_PATHS: readonly string[] = ["/health", "/metrics"];
const CLIENT_ID = /^[\w.:-]{1,128}$/;

export class RequestRecord {
  readonly startMs = performance.now();
  usage: Usage | null = null;
  error: unknown = null;

  constructor(readonly id: string) {}

  fail(error: unknown): void {
    this.error = error;
  }
}

/** Takes the client's `x-request-id` or makes one, sends it back, and records the request when its last byte is out. */
export function recordRequests(api: ApiContext, knownPaths: readonly string[]): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const given = c.req.header("x-request-id");
    const record = new RequestRecord(given && CLIENT_ID.test(given) ? given : `req-${randomUUID()}`);
    c.set("record", record);
    const outgoing = (c.env as { outgoing?: ServerResponse }).outgoing;
    outgoing?.once("close", () => finishRecord(api, c, record, knownPaths, outgoing));
    await next();
    c.header("x-request-id", record.id);
  };
}

function finishRecord(
  { logger, metrics }: ApiContext,
  c: Context<ApiEnv>,
  record: RequestRecord,
  knownPaths: readonly string[],
  outgoing: ServerResponse,
): void {
  const seconds = (performance.now() - record.startMs) / 1000;
  const path = c.req.path;
  // Unknown paths share one label: a scanner must not grow the metrics.
  const route = knownPaths.includes(path) ? path : /^(\/v1)?\/models\//.test(path) ? "/v1/models/:id" : "other";
  const status = outgoing.statusCode;
  metrics.requests.inc({ route, status: String(status) });
  metrics.requestDuration.observe({ route }, seconds);
  const fields = {
    requestId: record.id,
    method: c.req.method,
    path,
    status,
    ms: Math.round(seconds * 1000),
    complete: outgoing.writableFinished,
    ...record.usage,
  };
  if (record.error && status < 500)
    logger.error({ ...fields, err: record.error }, "request failed after its first byte");
  else if (record.error) logger.error({ ...fields, err: record.error }, "request failed");
  // Probes come every few seconds and say nothing new.
  else if (PROBE_PATHS.includes(path)) logger.debug(fields, "request");
  else logger.info(fields, "request");
}
