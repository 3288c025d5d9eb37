/** GET /health and /metrics */

import type { Context } from "hono";
import type { ApiContext, ApiEnv } from "./api-context.js";

const STATUS_TEXT = { loading: "loading model", stopping: "shutting down", ready: "ok" };

export function health({ state }: ApiContext) {
  return (c: Context<ApiEnv>) => c.json({ status: STATUS_TEXT[state.phase] }, state.phase === "ready" ? 200 : 503);
}

export function metricsText({ state, metrics }: ApiContext) {
  return async (c: Context<ApiEnv>) => {
    const stats = state.node && state.phase !== "stopping" ? await state.node.engine.stats() : null;
    return c.body(await metrics.render(stats), 200, { "content-type": metrics.contentType });
  };
}
