/** The node's HTTP surface: which path is answered by what, and how errors leave. */

import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, Handler } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { CallerError } from "../errors.js";
import type { ApiContext, ApiEnv } from "./api-context.js";
import { requireApiKey } from "./auth.js";
import { chatCompletions } from "./chat-completions.js";
import { completions } from "./completions.js";
import { docsPage } from "./docs-page.js";
import { errorBody, errorResponse, messagesError, messagesErrorBody } from "./error-body.js";
import { health, metricsText } from "./health.js";
import { countTokens, messages } from "./messages.js";
import { getModel, listModels } from "./models.js";
import { describePaths, OPENAPI_INFO } from "./openapi.js";
import { recordRequests } from "./request-record.js";
import { responses } from "./responses.js";
import { detokenize, tokenize } from "./tokenize.js";

interface Route {
  method: "GET" | "POST";
  path: string;
  handler: Handler<ApiEnv>;
}

/** The application; it answers /health and refuses the rest with 503 until `api.state` is ready. */
export function createApp(api: ApiContext): OpenAPIHono<ApiEnv> {
  const app = new OpenAPIHono<ApiEnv>();
  const routes = routesOf(api);
  app.use(recordRequests(api, [...routes.map(({ path }) => path), "/openapi.json"]));
  app.use(requireApiKey(api.settings.apiKey));
  for (const { method, path, handler } of routes) app.on(method, path, handler);
  describePaths(app.openAPIRegistry);
  app.doc31("/openapi.json", OPENAPI_INFO);
  for (const { method, path } of routes) app.all(path, (c) => methodNotAllowed(c, method));
  app.notFound((c) => {
    throw new CallerError("not_found", `There is no ${c.req.method} ${c.req.path} on this server.`);
  });
  app.onError((error, c) => {
    const { status, body, headers } = isMessagesPath(c) ? messagesError(error, c.var.record.id) : errorResponse(error);
    if (status === 500) c.var.record.fail(error);
    return c.json(body, status as ContentfulStatusCode, headers);
  });
  return app;
}

function routesOf(api: ApiContext): Route[] {
  return [
    { method: "GET", path: "/health", handler: health(api) },
    { method: "GET", path: "/metrics", handler: metricsText(api) },
    { method: "GET", path: "/docs", handler: docsPage },
    { method: "POST", path: "/tokenize", handler: tokenize(api) },
    { method: "POST", path: "/detokenize", handler: detokenize(api) },
    ...versionedRoutes(api).flatMap((route) => [{ ...route, path: `/v1${route.path}` }, route]),
  ];
}

/** Answered under /v1, and without it as llama-server has them. */
function versionedRoutes(api: ApiContext): Route[] {
  return [
    { method: "GET", path: "/models", handler: listModels(api) },
    { method: "GET", path: "/models/:id{.+}", handler: getModel(api) },
    { method: "POST", path: "/chat/completions", handler: chatCompletions(api) },
    { method: "POST", path: "/completions", handler: completions(api) },
    { method: "POST", path: "/messages", handler: messages(api) },
    { method: "POST", path: "/messages/count_tokens", handler: countTokens(api) },
    { method: "POST", path: "/responses", handler: responses(api) },
  ];
}

function methodNotAllowed(c: Context<ApiEnv>, allowed: string) {
  const message = `${c.req.path} does not take ${c.req.method}, but ${allowed}.`;
  const body = isMessagesPath(c)
    ? messagesErrorBody(405, message, c.var.record.id)
    : errorBody(message, "invalid_request_error", null, "method_not_allowed");
  return c.json(body, 405, { allow: allowed });
}

/** Whether the path belongs to Anthropic's API, whose clients expect errors in its shape. */
function isMessagesPath(c: Context<ApiEnv>): boolean {
  return /^(\/v1)?\/messages(\/|$)/.test(c.req.path);
}
