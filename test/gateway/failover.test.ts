import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { refusedUrl, startUpstream, type Upstream } from "./upstream.js";
import { GATEWAY_KEY, type Gateway, startGateway } from "./worker.js";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function upstreamOf(answer: Parameters<typeof startUpstream>[0], healthStatus = 200): Promise<Upstream> {
  const upstream = await startUpstream(answer, healthStatus);
  stops.push(() => upstream.close());
  return upstream;
}

async function gatewayFor(urls: readonly string[], variables: Record<string, string> = {}): Promise<Gateway> {
  const gateway = await startGateway({ NODES: urls.join(","), CONNECT_TIMEOUT_MS: "300", ...variables });
  stops.push(() => gateway.stop());
  return gateway;
}

function ask(gateway: Gateway, context: string): Promise<Response> {
  return fetch(`${gateway.url}/v1/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${GATEWAY_KEY}` },
    body: JSON.stringify({ wavekv: { context }, prompt: "Hello" }),
  });
}

const ok: Parameters<typeof startUpstream>[0] = (response, seen) => response.writeHead(200).end(seen.body);
/** Ports, and with them the nodes' places in the ranking, differ from run to run: of so many keys some belong to each of two nodes. */
const CONTEXTS = Array.from({ length: 40 }, (_, index) => `doc-${index}`);

describe("failover", () => {
  it("reaches the node that is up for every key when the other refuses the connection", async () => {
    const upstream = await upstreamOf(ok);
    const gateway = await gatewayFor([await refusedUrl(), upstream.url]);
    for (const context of CONTEXTS) {
      const response = await ask(gateway, context);
      expect(response.status).toBe(200);
      expect(response.headers.get("x-wavekv-node")).toBe("node-2");
      expect(await response.json()).toEqual({ wavekv: { context }, prompt: "Hello" });
    }
    expect(gateway.logged()).toContain('"event":"node_skipped"');
  });

  it("brings a key back to its own node once that is up again", async () => {
    const upstreams = [await upstreamOf(ok), await upstreamOf(ok)];
    const gateway = await gatewayFor(upstreams.map((upstream) => upstream.url));
    const home = (await ask(gateway, "doc")).headers.get("x-wavekv-node")!;
    const index = Number(home.slice("node-".length)) - 1;
    await upstreams[index]!.close();
    stops.splice(index, 1);
    expect((await ask(gateway, "doc")).headers.get("x-wavekv-node")).not.toBe(home);
    const again = await startUpstream(ok, 200, Number(new URL(upstreams[index]!.url).port));
    stops.push(() => again.close());
    expect((await ask(gateway, "doc")).headers.get("x-wavekv-node")).toBe(home);
  });

  it.each([502, 503])("passes over a node that answers %i", async (status) => {
    const loading = await upstreamOf((response) => response.writeHead(status).end("loading"));
    const ready = await upstreamOf(ok);
    const gateway = await gatewayFor([loading.url, ready.url]);
    for (const context of CONTEXTS) expect((await ask(gateway, context)).status).toBe(200);
    expect(loading.seen.length).toBeGreaterThan(0);
  });

  it.each([400, 429, 500, 504])("leaves a %i as the answer", async (status) => {
    const answer: typeof ok = (response) => response.writeHead(status, { "retry-after": "7" }).end("mine");
    const upstreams = [await upstreamOf(answer), await upstreamOf(answer)];
    const gateway = await gatewayFor(upstreams.map((upstream) => upstream.url));
    const response = await ask(gateway, "doc");
    expect([response.status, await response.text(), response.headers.get("retry-after")]).toEqual([
      status,
      "mine",
      "7",
    ]);
    expect(upstreams[0]!.seen.length + upstreams[1]!.seen.length).toBe(1);
  });

  it("passes over a node that takes connections but never answers, not even for its health", async () => {
    const sockets = new Set<Socket>();
    const hole = createServer((socket) => sockets.add(socket)).listen(0, "127.0.0.1");
    stops.push(async () => {
      for (const socket of sockets) socket.destroy();
      hole.close();
    });
    await new Promise((resolve) => hole.once("listening", resolve));
    const upstream = await upstreamOf(ok);
    const gateway = await gatewayFor([`http://127.0.0.1:${(hole.address() as AddressInfo).port}`, upstream.url]);
    // Each key of the silent node costs two timeouts: one such key is enough.
    for (const context of CONTEXTS) {
      expect((await ask(gateway, context)).status).toBe(200);
      if (sockets.size > 0) break;
    }
    expect(gateway.logged()).toContain("no connection within the timeout");
  });

  it("waits for a node that is slow but alive", async () => {
    const slow: typeof ok = async (response) => {
      await sleep(1000);
      response.writeHead(200).end("slow");
    };
    const upstreams = [await upstreamOf(slow), await upstreamOf(slow)];
    const gateway = await gatewayFor(upstreams.map((upstream) => upstream.url));
    const response = await ask(gateway, "doc");
    expect([response.status, await response.text()]).toEqual([200, "slow"]);
    expect(upstreams[0]!.seen.length + upstreams[1]!.seen.length).toBe(1);
  });
});

describe("no node at all", () => {
  it("is 503 in the error shape, with retry-after", async () => {
    const gateway = await gatewayFor([await refusedUrl(), await refusedUrl()]);
    const response = await ask(gateway, "doc");
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("2");
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(await response.json()).toEqual({
      error: { message: expect.any(String), type: "server_error", param: null, code: "no_node_available" },
    });
  });

  it("repeats the soonest retry-after of the nodes", async () => {
    const loading = await upstreamOf((response) => response.writeHead(503, { "retry-after": "30" }).end());
    const nearly = await upstreamOf((response) => response.writeHead(503, { "retry-after": "5" }).end());
    const gateway = await gatewayFor([loading.url, nearly.url, await refusedUrl()]);
    const response = await ask(gateway, "doc");
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
  });
});
