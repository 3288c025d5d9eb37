import { type Context, Hono } from "hono";
import { checkKey } from "./auth.js";
import { type GatewayEnv, loadConfig } from "./config.js";
import { errorResponse, GatewayError } from "./errors.js";
import { requestIdOf } from "./headers.js";
import { gatewayHealth } from "./health.js";
import { proxy } from "./proxy.js";

type AppEnv = { Bindings: GatewayEnv; Variables: { requestId: string } };

/** What nodes serve to clients. A node's /health and /metrics stay behind the gateway. */
const NODE_ROUTES = [
  ["GET", "/v1/models"],
  ["GET", "/v1/models/:model{.+}"],
  ["POST", "/v1/chat/completions"],
  ["POST", "/v1/completions"],
  ["POST", "/tokenize"],
  ["POST", "/detokenize"],
] as const;

export function createApp(): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(async (c, next) => {
    c.set("requestId", requestIdOf(c.req.raw.headers));
    await next();
  });
  app.get("/health", serveHealth);
  app.all("/health", refuseMethod("GET"));
  for (const [method, path] of NODE_ROUTES) {
    app.on(method, path, serveFromNode);
    app.all(path, refuseMethod(method));
  }
  app.notFound((c) => {
    const message = `There is no ${c.req.method} ${c.req.path} here.`;
    return errorResponse(new GatewayError("not_found", message), c.get("requestId"));
  });
  app.onError((error, c) => {
    // Nobody reads this one: 499 is the customary status for a client that went away.
    if (c.req.raw.signal.aborted) return new Response(null, { status: 499 });
    return errorResponse(error, c.get("requestId"));
  });
  return app;
}

async function serveHealth(c: Context<AppEnv>): Promise<Response> {
  const health = await gatewayHealth(await loadConfig(c.env));
  const headers = { "cache-control": "no-store", "x-request-id": c.get("requestId") };
  return Response.json(health, { status: health.status === "unavailable" ? 503 : 200, headers });
}

async function serveFromNode(c: Context<AppEnv>): Promise<Response> {
  const config = await loadConfig(c.env);
  await checkKey(c.req.raw.headers, config.keyDigests);
  return proxy(c.req.raw, config, c.get("requestId"));
}

function refuseMethod(allowed: string): (c: Context<AppEnv>) => Response {
  return (c) => {
    const message = `${c.req.path} takes ${allowed}, not ${c.req.method}.`;
    throw new GatewayError("method_not_allowed", message, { allow: allowed });
  };
}
