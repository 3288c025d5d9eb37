import type { GatewayNode } from "./node-list.js";

/** One request as it goes to whichever node is tried. */
export interface OutboundRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: Headers;
  readonly body: Uint8Array | null;
  /** Aborts when the client goes away. */
  readonly clientSignal: AbortSignal;
  readonly connectTimeoutMs: number;
}

/** A node either answers, or cannot take the request now; `retryAfter` repeats what it said about when. */
export type Attempt =
  | { readonly response: Response }
  | { readonly response: null; readonly reason: string; readonly retryAfter: number | null };

/**
 * Answers that mean "not this node": 502 and 503 (loading, or a proxy in front of a dead node), and the codes by which Cloudflare
 * tells a Worker that an origin refused, timed out on connecting, or has no valid certificate. 504 and 524 are not among them: there
 * the node took the request and was working on it, and sending the same long prefill to a second node helps nobody.
 */
const UNAVAILABLE = new Set([502, 503, 520, 521, 522, 523, 525, 526, 530]);

/** Sends the request to one node. Throws only when the client has gone. */
export async function attemptNode(node: GatewayNode, request: OutboundRequest): Promise<Attempt> {
  const giveUp = new AbortController();
  const fetching = fetch(node.url + request.target, {
    method: request.method,
    headers: request.headers,
    body: request.body,
    redirect: "manual",
    signal: AbortSignal.any([request.clientSignal, giveUp.signal]),
  });
  try {
    const response = await raceUnreachable(fetching, node, request.connectTimeoutMs);
    if (response === null) {
      giveUp.abort();
      return { response: null, reason: "no connection within the timeout", retryAfter: null };
    }
    if (!UNAVAILABLE.has(response.status)) return { response };
    await response.body?.cancel();
    return { response: null, reason: `status ${response.status}`, retryAfter: retryAfterSeconds(response.headers) };
  } catch (error) {
    request.clientSignal.throwIfAborted();
    return { response: null, reason: error instanceof Error ? error.message : "fetch failed", retryAfter: null };
  }
}

/**
 * Waits for the response's head, without end where the node is alive: a long prefill or an answer in one piece may take minutes. As
 * `fetch` does not tell a connection from an answer, silence for `timeoutMs` is settled by asking for the node's health; null
 * means that this found nobody either.
 */
async function raceUnreachable(
  fetching: Promise<Response>,
  node: GatewayNode,
  timeoutMs: number,
): Promise<Response | null> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const silence = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), timeoutMs);
  });
  try {
    const first = await Promise.race([fetching, silence]);
    if (first !== null) return first;
    const reachable = probeNode(node, timeoutMs).then((status) => (status === null ? null : fetching));
    return await Promise.race([fetching, reachable]);
  } finally {
    clearTimeout(timer);
  }
}

/** HTTP status of the node's /health, or null where nothing answers within `timeoutMs`. */
export async function probeNode(node: GatewayNode, timeoutMs: number): Promise<number | null> {
  try {
    const response = await fetch(`${node.url}/health`, {
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
    return response.status;
  } catch {
    return null;
  }
}

/** `retry-after` in whole seconds; its date form is not used by nodes and counts as absent. */
function retryAfterSeconds(headers: Headers): number | null {
  const value = headers.get("retry-after");
  return value !== null && /^\d{1,4}$/.test(value) ? Number(value) : null;
}
