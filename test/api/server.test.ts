import { afterEach, describe, expect, it } from "vitest";
import { listen } from "../../src/api/server.js";
import { parseSse, startTestServer, type TestServer, until } from "../support/api-server.js";
import { byteIds } from "../support/byte-model.js";
import { ScriptedEngine } from "../support/scripted-engine.js";

let server: TestServer;
const prompt = { prompt: "x", stream: true };

afterEach(() => server.close());

describe("closing", () => {
  it("lets a running answer end, and refuses new requests meanwhile", async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const engine = new ScriptedEngine([...byteIds("a"), gate, ...byteIds("b")]);
    server = await startTestServer(engine);
    const running = await server.post("/v1/completions", prompt);
    await until(() => engine.numProduced === 1);
    const closed = server.server.close(5_000);
    await expect(fetch(`${server.url}/health`)).rejects.toThrow();
    release();
    const { data, done } = parseSse(await running.text());
    expect(done).toBe(true);
    expect(data.map((chunk) => chunk.choices[0]?.text).join("")).toBe("ab");
    await closed;
    expect(engine.cancelled).toEqual([]);
  });

  it("cancels at the deadline what has not ended, and tells its client", async () => {
    const engine = new ScriptedEngine([...byteIds("a"), new Promise(() => {})]);
    server = await startTestServer(engine);
    const running = await server.post("/v1/completions", prompt);
    await until(() => engine.numProduced === 1);
    await server.server.close(50);
    const { data, done } = parseSse(await running.text());
    expect(done).toBe(false);
    expect(data.at(-1)?.error).toMatchObject({
      code: "service_unavailable",
      message: expect.stringContaining("shutting down"),
    });
    expect(engine.cancelled).toHaveLength(1);
  });

  it("does not wait for idle connections", async () => {
    server = await startTestServer(new ScriptedEngine([]));
    await (await fetch(`${server.url}/health`)).text();
    const startMs = performance.now();
    await server.server.close(10_000);
    expect(performance.now() - startMs).toBeLessThan(1_000);
  });
});

describe("listening", () => {
  it("rejects when the port is taken", async () => {
    server = await startTestServer(new ScriptedEngine([]));
    const { app, state } = { app: { fetch: () => new Response() } as never, state: server.state };
    await expect(listen(app, state, { host: "127.0.0.1", port: server.server.port })).rejects.toThrow("EADDRINUSE");
  });
});
