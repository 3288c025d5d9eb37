import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { bodyOf, errorOf, startTestServer, TEST_MODEL, type TestServer, until } from "../support/api-server.js";
import { byteIds } from "../support/byte-model.js";
import { ScriptedEngine } from "../support/scripted-engine.js";

let server: TestServer;

afterEach(() => server.close());

describe("paths and methods", () => {
  it("answers an unknown path with 404 and a wrong method with 405, in shape", async () => {
    server = await startTestServer(new ScriptedEngine([]));
    const missing = await fetch(`${server.url}/v1/nothing`);
    expect(missing.status).toBe(404);
    expect(await errorOf(missing)).toMatchObject({ type: "invalid_request_error", code: "not_found" });
    const wrong = await fetch(`${server.url}/v1/chat/completions`);
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get("allow")).toBe("POST");
    expect(await errorOf(wrong)).toMatchObject({ code: "method_not_allowed" });
    expect((await fetch(`${server.url}/v1/models`, { method: "DELETE" })).status).toBe(405);
  });

  it("lists the model, and one model by id", async () => {
    server = await startTestServer(new ScriptedEngine([]));
    const list = await bodyOf<{ data: object[] }>(await fetch(`${server.url}/v1/models`));
    expect(list).toMatchObject({
      object: "list",
      data: [{ id: TEST_MODEL, object: "model", created: 1_700_000_000, max_model_len: 1000 }],
    });
    expect(await (await fetch(`${server.url}/v1/models/${TEST_MODEL}`)).json()).toEqual(list.data[0]);
    const other = await fetch(`${server.url}/v1/models/owner/other`);
    expect(other.status).toBe(404);
    expect(await errorOf(other)).toMatchObject({ code: "model_not_found", param: "model" });
  });

  it("describes itself by the schemas that it parses with", async () => {
    server = await startTestServer(new ScriptedEngine([]));
    const document = await bodyOf<OpenApiDocument>(await fetch(`${server.url}/openapi.json`));
    expect(document.openapi).toBe("3.1.0");
    expect(Object.keys(document.paths)).toContain("/v1/chat/completions");
    const { properties, required } = document.components.schemas.ChatCompletionRequest ?? {};
    expect(required).toEqual(["messages"]);
    expect(properties?.temperature).toMatchObject({ minimum: 0, maximum: 2 });
  });

  it("keeps a client's request id, replaces a bad one, and logs it without the prompt", async () => {
    server = await startTestServer(new ScriptedEngine(byteIds("answer")));
    const body = JSON.stringify({ prompt: "confidential words" });
    const headers = { "content-type": "application/json", "x-request-id": "trace-1.a" };
    const kept = await server.post("/v1/completions", body, { headers });
    expect(kept.headers.get("x-request-id")).toBe("trace-1.a");
    const replaced = await fetch(`${server.url}/health`, { headers: { "x-request-id": "has space" } });
    expect(replaced.headers.get("x-request-id")).toMatch(/^req-/);
    await until(() => server.logs.length === 2);
    expect(server.logs[0]).toMatchObject({
      requestId: "trace-1.a",
      path: "/v1/completions",
      status: 200,
      completionTokens: 6,
    });
    expect(JSON.stringify(server.logs)).not.toMatch(/confidential|answer/);
  });
});

describe("bodies", () => {
  it.each([
    ["malformed JSON", "{", /not valid JSON/],
    ["an empty body", "", /empty/],
    ["bad UTF-8", Uint8Array.of(0x22, 0xc3, 0x28, 0x22), /UTF-8/],
    ["a bare string", '"text"', /request body/],
  ])("%s is 400", async (_what, body, message) => {
    server = await startTestServer(new ScriptedEngine([]));
    const response = await server.post("/v1/chat/completions", body);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({
      type: "invalid_request_error",
      message: expect.stringMatching(message),
    });
  });

  it("names the field in what it refuses", async () => {
    server = await startTestServer(new ScriptedEngine([]));
    const response = await server.post("/v1/completions", { prompt: "x", wavekv: { min_mass: 0.9 } });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({
      param: "wavekv.min_mass",
      message: expect.stringContaining("not supported"),
    });
  });

  it("past the limit are 413, declared or not", async () => {
    server = await startTestServer(new ScriptedEngine([]));
    const declared = await declareBody(server.server.port, 65 * 1024 * 1024);
    expect(declared).toMatch(/^HTTP\/1\.1 413 /);
    const chunk = Buffer.alloc(1024 * 1024, 0x20);
    let numSent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (numSent++ < 66) controller.enqueue(chunk);
        else controller.close();
      },
    });
    const response = await server.post("/tokenize", "", { body, duplex: "half" } as RequestInit);
    expect(response.status).toBe(413);
    expect(await errorOf(response)).toMatchObject({ code: "request_too_large" });
  });

  it("refuses another model by name", async () => {
    server = await startTestServer(new ScriptedEngine([]));
    const response = await server.post("/v1/completions", { model: "gpt-x", prompt: "x" });
    expect(response.status).toBe(404);
    expect(await errorOf(response)).toMatchObject({ code: "model_not_found", param: "model" });
  });
});

describe("tokenize and detokenize", () => {
  it("go both ways, with pieces where asked", async () => {
    server = await startTestServer(new ScriptedEngine([]));
    const call = async (path: string, body: object) => (await server.post(path, body)).json();
    expect(await call("/tokenize", { content: "hé<|im_end|>" })).toEqual({ tokens: [...byteIds("hé"), 257] });
    expect(await call("/tokenize", { content: "<|im_end|>", parse_special: false })).toEqual({
      tokens: byteIds("<|im_end|>"),
    });
    expect(await call("/tokenize", { content: "a", with_pieces: true })).toEqual({ tokens: [{ id: 97, piece: "a" }] });
    expect(await call("/detokenize", { tokens: byteIds("hé!") })).toEqual({ content: "hé!" });
    const refused = await server.post("/detokenize", { tokens: [97, 100_000] });
    expect(refused.status).toBe(400);
    expect(await errorOf(refused)).toMatchObject({ param: "tokens.1" });
  });
});

describe("the API key", () => {
  const ask = (headers: Record<string, string>) => fetch(`${server.url}/v1/models`, { headers });

  it("is taken as Bearer or x-api-key, and nothing else passes", async () => {
    server = await startTestServer(new ScriptedEngine([]), { apiKey: "sesame" });
    expect((await ask({ authorization: "Bearer sesame" })).status).toBe(200);
    expect((await ask({ authorization: "bearer sesame" })).status).toBe(200);
    expect((await ask({ "x-api-key": "sesame" })).status).toBe(200);
    for (const headers of [{}, { authorization: "Bearer sesam" }, { authorization: "sesame" }, { "x-api-key": "" }]) {
      const response = await ask(headers as Record<string, string>);
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      expect(await errorOf(response)).toMatchObject({ code: "invalid_api_key" });
    }
  });

  it("is asked for before the body is read, and not by /health", async () => {
    server = await startTestServer(new ScriptedEngine([]), { apiKey: "sesame" });
    expect((await server.post("/v1/completions", "{")).status).toBe(401);
    expect((await fetch(`${server.url}/metrics`)).status).toBe(401);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });
});

describe("health", () => {
  it("is 503 while loading, when the other endpoints are too, then 200", async () => {
    server = await startTestServer(null);
    const loading = await fetch(`${server.url}/health`);
    expect(loading.status).toBe(503);
    expect(await loading.json()).toEqual({ status: "loading model" });
    const refused = await server.post("/v1/completions", { prompt: "x" });
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("2");
    expect(await errorOf(refused)).toMatchObject({ type: "server_error", code: "service_unavailable" });
    expect((await fetch(`${server.url}/metrics`)).status).toBe(200);

    const other = await startTestServer(new ScriptedEngine([]));
    if (other.state.node) server.state.ready(other.state.node);
    await other.close();
    const ready = await fetch(`${server.url}/health`);
    expect(ready.status).toBe(200);
    expect(await ready.json()).toEqual({ status: "ok" });
  });
});

describe("metrics", () => {
  it("show the engine's counters and the times of requests", async () => {
    server = await startTestServer(new ScriptedEngine(byteIds("abc")));
    await (await server.post("/v1/completions", { prompt: "x" })).text();
    await (await fetch(`${server.url}/a/scanner/was/here`)).text();
    await until(() => server.logs.length === 2);
    const render = async () => (await fetch(`${server.url}/metrics`)).text();
    await render();
    const text = await render();
    for (const line of [
      "wavekv_prompt_tokens_total 3000",
      "wavekv_block_cache_hits_total 90",
      "wavekv_kv_cache_used_bytes 6000",
      'wavekv_engine_phase_seconds_total{phase="linear"} 2.5',
      "wavekv_time_to_first_token_seconds_count 1",
      "wavekv_inter_token_seconds_count 2",
      'wavekv_http_requests_total{route="/v1/completions",status="200"} 1',
      'wavekv_http_requests_total{route="other",status="404"} 1',
    ]) {
      expect(text.split("\n")).toContain(line);
    }
  });
});

interface OpenApiDocument {
  openapi: string;
  paths: Record<string, unknown>;
  components: { schemas: Record<string, { properties: Record<string, object>; required: string[] }> };
}

/** Sends headers that promise a body, and returns the first line of the answer. */
function declareBody(port: number, sizeBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(`POST /tokenize HTTP/1.1\r\nhost: x\r\ncontent-length: ${sizeBytes}\r\n\r\n`);
    });
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString().split("\r\n", 1)[0] ?? "");
    });
  });
}
