import { expect, inject, it } from "vitest";
import { attemptNode, type OutboundRequest, probeNode } from "../../src/gateway/attempt.js";

const node = { name: "node-1", url: inject("silentUrl"), weight: 1 };
const request: Omit<OutboundRequest, "clientSignal"> = {
  method: "POST",
  target: "/v1/completions",
  headers: new Headers(),
  body: new TextEncoder().encode("{}"),
  connectTimeoutMs: 60_000,
};

it("gives up at once when the client leaves, and does not call it a failure of the node", async () => {
  const leave = new AbortController();
  const attempt = attemptNode(node, { ...request, clientSignal: leave.signal });
  setTimeout(() => leave.abort(new Error("the client left")), 50);
  await expect(attempt).rejects.toThrow("the client left");
});

it("calls a node that never answers unreachable after the timeout and an unanswered probe", async () => {
  const startMs = Date.now();
  const clientSignal = new AbortController().signal;
  const attempt = await attemptNode(node, { ...request, clientSignal, connectTimeoutMs: 100 });
  expect(attempt).toEqual({ response: null, reason: "no connection within the timeout", retryAfter: null });
  expect(Date.now() - startMs).toBeGreaterThanOrEqual(190);
  expect(await probeNode(node, 100)).toBeNull();
});
