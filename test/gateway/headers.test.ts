import { describe, expect, it } from "vitest";
import { headersForClient, headersForNode, requestIdOf } from "../../src/gateway/headers.js";

describe("headersForNode", () => {
  it("leaves out credentials, addresses and hop-by-hop headers, and passes the rest", () => {
    const client = new Headers({
      authorization: "Bearer client",
      "x-api-key": "client",
      cookie: "a=b",
      "cf-connecting-ip": "192.0.2.1",
      "x-forwarded-for": "192.0.2.1",
      "x-real-ip": "192.0.2.1",
      "x-wavekv-tenant": "forged",
      connection: "keep-alive, X-Hop",
      "x-hop": "1",
      te: "trailers",
      upgrade: "websocket",
      "accept-encoding": "gzip",
      "content-type": "application/json",
      accept: "text/event-stream",
      traceparent: "00-1-2-01",
    });
    expect(Object.fromEntries(headersForNode(client, "id-1", "node-key"))).toEqual({
      "content-type": "application/json",
      accept: "text/event-stream",
      traceparent: "00-1-2-01",
      "accept-encoding": "identity",
      "x-request-id": "id-1",
      authorization: "Bearer node-key",
    });
    expect(headersForNode(client, "id-1", null).has("authorization")).toBe(false);
    expect(client.get("authorization")).toBe("Bearer client");
  });
});

describe("headersForClient", () => {
  it("adds the id and the node's name, and lets a node forge neither", () => {
    const node = new Headers({
      "content-type": "text/event-stream",
      "keep-alive": "timeout=5",
      "transfer-encoding": "chunked",
      "x-wavekv-node": "http://10.0.0.1",
      "x-request-id": "other",
      "cache-control": "no-cache",
    });
    expect(Object.fromEntries(headersForClient(node, "id-1", "node-2"))).toEqual({
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      "x-request-id": "id-1",
      "x-wavekv-node": "node-2",
    });
  });
});

describe("requestIdOf", () => {
  it("keeps a harmless id and replaces any other", () => {
    expect(requestIdOf(new Headers({ "x-request-id": "Trace_1.2-3" }))).toBe("Trace_1.2-3");
    const made = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;
    expect(requestIdOf(new Headers())).toMatch(made);
    for (const id of ["a b", '{"x":1}', "a".repeat(129)]) {
      expect(requestIdOf(new Headers({ "x-request-id": id }))).toMatch(made);
    }
  });
});
