import { afterEach, expect, it } from "vitest";
import { refusedUrl, startUpstream } from "./upstream.js";
import { startGateway } from "./worker.js";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function healthOf(urls: readonly string[]): Promise<{ status: number; body: unknown; text: string }> {
  const gateway = await startGateway({ NODES: urls.join(","), CONNECT_TIMEOUT_MS: "500" });
  stops.push(() => gateway.stop());
  const response = await fetch(`${gateway.url}/health`);
  const text = await response.text();
  return { status: response.status, body: JSON.parse(text), text };
}

async function nodeWithHealth(status: number): Promise<string> {
  const upstream = await startUpstream((response) => response.end(), status);
  stops.push(() => upstream.close());
  return upstream.url;
}

it("tells each node's state without a key and without an address", async () => {
  const urls = [await nodeWithHealth(200), await nodeWithHealth(503), await nodeWithHealth(500), await refusedUrl()];
  const health = await healthOf(urls);
  expect(health.status).toBe(200);
  expect(health.body).toEqual({
    status: "degraded",
    nodes: [
      { name: "node-1", status: "ok" },
      { name: "node-2", status: "loading" },
      { name: "node-3", status: "failing" },
      { name: "node-4", status: "unreachable" },
    ],
  });
  for (const url of urls) expect(health.text).not.toContain(new URL(url).port);
});

it("is ok when every node is, and 503 when none is", async () => {
  expect(await healthOf([await nodeWithHealth(200), await nodeWithHealth(200)])).toMatchObject({
    status: 200,
    body: { status: "ok" },
  });
  expect(await healthOf([await nodeWithHealth(503), await refusedUrl()])).toMatchObject({
    status: 503,
    body: { status: "unavailable" },
  });
});
