import { attemptNode, type OutboundRequest } from "./attempt.js";
import { readBody } from "./body.js";
import type { GatewayConfig } from "./config.js";
import { GatewayError } from "./errors.js";
import { endingInError } from "./event-stream.js";
import { headersForClient, headersForNode } from "./headers.js";
import type { GatewayNode } from "./node-list.js";
import { rankNodes } from "./rendezvous.js";
import { routingKey } from "./routing-key.js";

const DEFAULT_RETRY_AFTER_SECONDS = 2;

/**
 * Passes one request to the node that owns its key, or to the next in rendezvous order while nodes cannot take it. Once a node has
 * answered, its response is the request's response: status, headers and body as they come, and no other node is asked.
 * Throws GatewayError 413 for a body over the bound and 503 with `retry-after` when no node can take the request.
 */
export async function proxy(request: Request, config: GatewayConfig, requestId: string): Promise<Response> {
  const body = await readBody(request, config.maxBodyBytes);
  const url = new URL(request.url);
  const ranked = rankNodes(config.nodes, routingKey(url.pathname, body, config.routingPrefixBytes));
  const outbound: OutboundRequest = {
    method: request.method,
    target: url.pathname + url.search,
    headers: headersForNode(request.headers, requestId, config.nodeApiKey),
    body,
    clientSignal: request.signal,
    connectTimeoutMs: config.connectTimeoutMs,
  };
  request.signal.addEventListener("abort", () => log({ event: "client_left", requestId }));
  let retryAfter: number | null = null;
  for (const node of ranked) {
    const attempt = await attemptNode(node, outbound);
    if (attempt.response) return passThrough(attempt.response, node, requestId, request.signal);
    log({ event: "node_skipped", requestId, node: node.name, reason: attempt.reason });
    if (attempt.retryAfter !== null) retryAfter = Math.min(retryAfter ?? attempt.retryAfter, attempt.retryAfter);
  }
  throw new GatewayError("no_node_available", "No node can take the request now; try again shortly.", {
    "retry-after": String(Math.max(1, retryAfter ?? DEFAULT_RETRY_AFTER_SECONDS)),
  });
}

/** The body goes on as it comes; the node's connection is dropped when the client goes. */
function passThrough(response: Response, node: GatewayNode, requestId: string, clientSignal: AbortSignal): Response {
  const isEventStream = /^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "");
  const onBreak = () => {
    if (!clientSignal.aborted) log({ event: "node_broke_off", requestId, node: node.name });
  };
  const body = response.body && isEventStream ? endingInError(response.body, onBreak) : response.body;
  return new Response(body, {
    status: response.status,
    statusText: response.statusText,
    headers: headersForClient(response.headers, requestId, node.name),
  });
}

function log(line: Readonly<Record<string, string>>): void {
  console.warn(JSON.stringify(line));
}
