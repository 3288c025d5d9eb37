/** Meaningful for one connection only (RFC 9110 section 7.6.1), so never passed on; Connection may name more. */
const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** The client's credentials and address, and what the runtime sets anew. */
const NOT_FOR_NODES = [
  "authorization",
  "x-api-key",
  "cookie",
  "host",
  "content-length",
  "accept-encoding",
  "expect",
  "forwarded",
  "x-real-ip",
  "true-client-ip",
];
const NOT_FOR_NODES_PREFIXES = ["cf-", "x-forwarded-", "x-wavekv-", "mf-"];

const REQUEST_ID_PATTERN = /^[A-Za-z0-9._-]{1,128}$/;

/** The client's `x-request-id` where it is harmless to log and repeat, else a new one. */
export function requestIdOf(headers: Headers): string {
  const given = headers.get("x-request-id");
  return given !== null && REQUEST_ID_PATTERN.test(given) ? given : crypto.randomUUID();
}

/** Headers for a node: the client's, less what belongs to the connection or to the client, with the node's key. */
export function headersForNode(client: Headers, requestId: string, nodeApiKey: string | null): Headers {
  const headers = withoutHopByHop(client);
  for (const name of [...headers.keys()]) {
    if (NOT_FOR_NODES.includes(name) || NOT_FOR_NODES_PREFIXES.some((prefix) => name.startsWith(prefix))) {
      headers.delete(name);
    }
  }
  // A compressed body would be unpacked and packed again on its way: streamed events would wait in a buffer.
  headers.set("accept-encoding", "identity");
  headers.set("x-request-id", requestId);
  if (nodeApiKey !== null) headers.set("authorization", `Bearer ${nodeApiKey}`);
  return headers;
}

/** Headers for the client: the node's, less the hop-by-hop ones, with the request's id and the node's name. */
export function headersForClient(node: Headers, requestId: string, nodeName: string): Headers {
  const headers = withoutHopByHop(node);
  headers.set("x-request-id", requestId);
  headers.set("x-wavekv-node", nodeName);
  return headers;
}

function withoutHopByHop(source: Headers): Headers {
  const headers = new Headers(source);
  const named = (source.get("connection") ?? "").split(",").map((name) => name.trim().toLowerCase());
  for (const name of [...HOP_BY_HOP, ...named]) {
    if (/^[a-z0-9-]+$/.test(name)) headers.delete(name);
  }
  return headers;
}
