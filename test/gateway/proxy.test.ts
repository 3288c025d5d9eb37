import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { startUpstream, type Upstream } from "./upstream.js";
import { GATEWAY_KEY, type Gateway, startGateway } from "./worker.js";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

type Answer = Parameters<typeof startUpstream>[0];

async function upstreamOf(answer: Answer): Promise<Upstream> {
  const upstream = await startUpstream(answer);
  stops.push(() => upstream.close());
  return upstream;
}

async function gatewayFor(upstreams: readonly Upstream[], variables: Record<string, string> = {}): Promise<Gateway> {
  const gateway = await startGateway({ NODES: upstreams.map((upstream) => upstream.url).join(","), ...variables });
  stops.push(() => gateway.stop());
  return gateway;
}

function post(gateway: Gateway, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${GATEWAY_KEY}`, "content-type": "application/json", ...headers },
    body: body as BodyInit,
  });
}

/** A request whose socket the test can close in the way it wants. */
function rawPost(gateway: Gateway, body: string): ClientRequest {
  const request = httpRequest(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${GATEWAY_KEY}` },
  });
  request.on("error", () => undefined); // the test itself closes the connection
  request.end(body);
  return request;
}

const CHAT = JSON.stringify({ messages: [{ role: "user", content: "Hello" }], stream: true });

describe("the way through", () => {
  it("hands on method, query and body untouched, and the node's key in place of the client's", async () => {
    const upstream = await upstreamOf((response) => response.writeHead(200).end("{}"));
    const gateway = await gatewayFor([upstream], { NODE_API_KEY: "node-key" });
    const body = ` {"messages" : [{"role":"user","content":"\\u00e9 é 界"}], "n":1.0 }\n`;
    const url = `${gateway.url}/v1/chat/completions?trace=a%20b`;
    await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${GATEWAY_KEY}`, cookie: "a=b", "x-request-id": "trace-1", "x-custom": "kept" },
      body,
    });
    const seen = upstream.seen[0]!;
    expect(seen.method).toBe("POST");
    expect(seen.url).toBe("/v1/chat/completions?trace=a%20b");
    expect(seen.body.toString()).toBe(body);
    expect(seen.headers).toMatchObject({
      authorization: "Bearer node-key",
      "x-request-id": "trace-1",
      "x-custom": "kept",
      "accept-encoding": "identity",
      "content-length": String(Buffer.byteLength(body)),
    });
    expect(seen.headers.cookie).toBeUndefined();
    expect(JSON.stringify(seen.headers)).not.toContain(GATEWAY_KEY);
  });

  it("hands back status, headers and body, errors of the node included", async () => {
    const answer = '{"error":{"message":"too long: 9000 of 8192","type":"invalid_request_error"}}';
    const upstream = await upstreamOf((response) => {
      const headers = {
        "content-type": "application/json",
        "x-extra": "1",
        connection: "keep-alive, x-hop",
        "x-hop": "1",
      };
      response.writeHead(400, headers).end(answer);
    });
    const gateway = await gatewayFor([upstream]);
    const response = await post(gateway, CHAT, { "x-request-id": "trace-2" });
    expect(response.status).toBe(400);
    expect(await response.text()).toBe(answer);
    expect(response.headers.get("x-extra")).toBe("1");
    expect(response.headers.has("x-hop")).toBe(false);
    expect(response.headers.get("x-request-id")).toBe("trace-2");
    expect(response.headers.get("x-wavekv-node")).toBe("node-1");
    expect(JSON.stringify([...response.headers])).not.toContain(new URL(upstream.url).port);
  });

  it("carries a body of megabytes both ways, byte for byte", async () => {
    const upstream = await upstreamOf((response, seen) => response.writeHead(200).end(seen.body));
    const gateway = await gatewayFor([upstream]);
    const body = randomBytes(8 * 1024 * 1024);
    const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    const echoed = new Uint8Array(await (await post(gateway, body)).arrayBuffer());
    expect(digest(echoed)).toBe(digest(body));
  });

  it("passes /v1/models and a model's page through, and a redirect as it is", async () => {
    const upstream = await upstreamOf((response, seen) => {
      response.writeHead(seen.url === "/v1/models" ? 200 : 307, { location: "http://127.0.0.1:9/" }).end(seen.url);
    });
    const gateway = await gatewayFor([upstream]);
    const init: RequestInit = { headers: { authorization: `Bearer ${GATEWAY_KEY}` }, redirect: "manual" };
    expect(await (await fetch(`${gateway.url}/v1/models`, init)).text()).toBe("/v1/models");
    const model = await fetch(`${gateway.url}/v1/models/org/name`, init);
    expect([model.status, await model.text()]).toEqual([307, "/v1/models/org/name"]);
  });

  it("asks no node where the key is wrong or the body too large", async () => {
    const upstream = await upstreamOf((response) => response.end("{}"));
    const gateway = await gatewayFor([upstream], { MAX_BODY_BYTES: "1024" });
    expect((await post(gateway, CHAT, { authorization: "Bearer wrong" })).status).toBe(401);
    const tooLarge = await post(gateway, JSON.stringify({ prompt: "x".repeat(2000) }));
    expect(tooLarge.status).toBe(413);
    expect(await tooLarge.json()).toMatchObject({ error: { code: "request_too_large" } });
    expect(upstream.seen).toHaveLength(0);
  });

  it("sends one context to one node, and many contexts to both", async () => {
    const upstreams = await Promise.all([0, 1].map(() => upstreamOf((response) => response.end("{}"))));
    const gateway = await gatewayFor(upstreams);
    const nodeOf = async (context: string, prompt: string) =>
      (await post(gateway, JSON.stringify({ wavekv: { context }, prompt }))).headers.get("x-wavekv-node");
    const nodes = new Set<string | null>();
    for (let index = 0; index < 40; index++) {
      const node = await nodeOf(`doc-${index}`, "a");
      expect(await nodeOf(`doc-${index}`, `question ${index}`)).toBe(node);
      nodes.add(node);
    }
    expect(nodes).toEqual(new Set(["node-1", "node-2"]));
    expect(upstreams.every((upstream) => upstream.seen.length > 0)).toBe(true);
  });
});

describe("streaming", () => {
  it("delivers each event before the next is sent, and every byte as it was", async () => {
    // Unusual but valid framing: a comment, CRLF, a character split over two writes. Any re-encoding would show.
    const events = [
      ": prefill 10 %\n\n",
      'data: {"a": 1}\r\n\r\n',
      'data: "界"\n\n',
      "event: x\ndata:y\n\n",
      "data: [DONE]\n\n",
    ];
    const wire = Buffer.from(events.join(""));
    let send: ((bytes: Buffer | null) => void) | undefined;
    const upstream = await upstreamOf((response) => {
      response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" });
      send = (bytes) => (bytes ? response.write(bytes) : response.end());
      response.flushHeaders();
    });
    const gateway = await gatewayFor([upstream]);
    // The head arrives although the node has sent no byte of the body yet.
    const response = await post(gateway, CHAT);
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const reader = response.body!.getReader();
    let received = Buffer.alloc(0);
    for (let offset = 0; offset < wire.length; offset += 13) {
      send!(wire.subarray(offset, offset + 13));
      // Were anything buffered on the way, this would wait for bytes that are only sent once these have arrived.
      while (received.length < Math.min(offset + 13, wire.length)) {
        const { value } = await reader.read();
        received = Buffer.concat([received, value!]);
      }
    }
    send!(null);
    expect((await reader.read()).done).toBe(true);
    expect(received.equals(wire)).toBe(true);
    expect(gateway.logged()).toBe("");
  });

  it("ends in an error event where the node breaks off, and asks no other node", async () => {
    const die: Answer = async (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write('data: {"half');
      await sleep(50);
      response.destroy();
    };
    const upstreams = [await upstreamOf(die), await upstreamOf(die)];
    const gateway = await gatewayFor(upstreams);
    const response = await post(gateway, CHAT);
    expect(response.status).toBe(200);
    const [first, last, rest] = (await response.text()).split("\n\n");
    expect([first, rest]).toEqual(['data: {"half', ""]);
    expect(JSON.parse(last!.slice("data: ".length))).toMatchObject({ error: { code: "node_connection_lost" } });
    expect(upstreams[0]!.seen.length + upstreams[1]!.seen.length).toBe(1);
  });

  it("fails for the client where the node breaks off an answer of known length", async () => {
    const upstream = await upstreamOf(async (response) => {
      response.writeHead(200, { "content-length": "100" }).write("{");
      await sleep(50);
      response.destroy();
    });
    const gateway = await gatewayFor([upstream]);
    await expect(post(gateway, CHAT).then((response) => response.text())).rejects.toThrow();
  });
});

describe("a client that goes away", () => {
  it("while events stream: the node's connection closes", async () => {
    const upstream = await upstreamOf((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const timer = setInterval(() => response.write("data: token\n\n"), 20);
      response.on("close", () => clearInterval(timer));
    });
    const gateway = await gatewayFor([upstream]);
    const request = rawPost(gateway, CHAT);
    const [response] = (await once(request, "response")) as [IncomingMessage];
    response.on("error", () => undefined); // closing the connection is the point
    await once(response, "data");
    request.destroy();
    await expect(settledWithin(2000, (await upstream.request(0)).disconnected)).resolves.toBe(true);
    await vi.waitFor(() => expect(gateway.logged()).toContain('"client_left"'));
    expect(gateway.logged()).not.toContain('"node_');
  });

  it("by a reset before the response's head: the node's connection closes, and no other node is asked", async () => {
    const silent: Answer = () => undefined;
    const upstreams = [await upstreamOf(silent), await upstreamOf(silent)];
    const gateway = await gatewayFor(upstreams);
    const request = rawPost(gateway, CHAT);
    const seen = await Promise.race(upstreams.map((upstream) => upstream.request(0)));
    request.socket!.resetAndDestroy();
    await expect(settledWithin(2000, seen.disconnected)).resolves.toBe(true);
    await vi.waitFor(() => expect(gateway.logged()).toContain('"client_left"'));
    await sleep(200);
    expect(gateway.logged()).not.toContain('"node_');
    expect(upstreams[0]!.seen.length + upstreams[1]!.seen.length).toBe(1);
  });
});

function settledWithin(limitMs: number, promise: Promise<void>): Promise<boolean> {
  return Promise.race([promise.then(() => true), sleep(limitMs, false)]);
}
