import { request as openRequest } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { CallerError } from "../../src/errors.js";
import {
  bodyOf,
  errorOf,
  parseSse,
  startTestServer,
  TEST_MODEL,
  type TestServer,
  until,
} from "../support/api-server.js";
import { byteIds, END_ID } from "../support/byte-model.js";
import { ScriptedEngine } from "../support/scripted-engine.js";

const CHAT = "/v1/chat/completions";
const messages = [{ role: "user", content: "hi" }];
const forever = new Promise<never>(() => {});

let server: TestServer;

async function start(engine: ScriptedEngine, settings = {}): Promise<ScriptedEngine> {
  server = await startTestServer(engine, settings);
  return engine;
}

async function stream(path: string, body: object) {
  const response = await server.post(path, { ...body, stream: true });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  return parseSse(await response.text());
}

afterEach(() => server.close());

describe("a whole answer", () => {
  it("has OpenAI's chat shape, usage and the compact report", async () => {
    const engine = await start(new ScriptedEngine([{ processed: 27, cached: 16 }, ...byteIds("hello")]));
    const response = await server.post(CHAT, { model: TEST_MODEL, messages });
    expect(response.status).toBe(200);
    const body = await bodyOf(response);
    const numPrompt = engine.requests[0]?.promptTokens.length ?? 0;
    expect(body).toMatchObject({
      object: "chat.completion",
      model: TEST_MODEL,
      choices: [{ index: 0, message: { role: "assistant", content: "hello", refusal: null }, finish_reason: "stop" }],
      usage: {
        prompt_tokens: numPrompt,
        completion_tokens: 5,
        total_tokens: numPrompt + 5,
        prompt_tokens_details: { cached_tokens: 16 },
      },
    });
    expect(body.id).toMatch(/^chatcmpl-/);
    expect(body.wavekv).toEqual({
      attention: "wave",
      kv_read_share: 0.091235,
      timings: { queue_ms: 1, prefill_ms: 20.123, index_build_ms: 3, decode_ms: 40 },
    });
  });

  it("reports every zone when asked", async () => {
    await start(new ScriptedEngine(byteIds("x")));
    const body = await bodyOf(await server.post(CHAT, { messages, wavekv: { report: true } }));
    expect(body.wavekv).toMatchObject({
      tokens: { steady: 68, retrieval: 512.25, estimation: 2048 },
      mass: { steady: 0.5, retrieval: 0.4, estimation: 0.08, unattended: 0.02 },
      block_cache: { hits: 90, misses: 10 },
      index_bytes: 123_456,
      segments: 3,
    });
  });

  it("has the text shape on /v1/completions", async () => {
    await start(new ScriptedEngine(byteIds("hello")));
    const body = await bodyOf(await server.post("/v1/completions", { prompt: "p" }));
    expect(body).toMatchObject({
      object: "text_completion",
      choices: [{ index: 0, text: "hello", finish_reason: "stop" }],
    });
    expect(body.id).toMatch(/^cmpl-/);
  });

  it("renders the chat template with its special tokens", async () => {
    const engine = await start(new ScriptedEngine([]));
    const parts = [
      { type: "text", text: "a" },
      { type: "text", text: "b" },
    ];
    await server.post(CHAT, {
      messages: [
        { role: "developer", content: "be brief" },
        { role: "user", content: parts },
      ],
    });
    const text = (role: string, content: string) => [256, ...byteIds(`${role}\n${content}`), END_ID, ...byteIds("\n")];
    const expected = [...text("system", "be brief"), ...text("user", "a\nb"), 256, ...byteIds("assistant\n")];
    expect([...(engine.requests[0]?.promptTokens ?? [])]).toEqual(expected);
    expect(engine.requests[0]?.stopTokens).toEqual([END_ID]);
  });

  it("takes a prompt of token ids, and refuses ids outside the vocabulary", async () => {
    const engine = await start(new ScriptedEngine([]));
    expect((await server.post("/v1/completions", { prompt: [7, 256, 9] })).status).toBe(200);
    expect([...(engine.requests[0]?.promptTokens ?? [])]).toEqual([7, 256, 9]);
    const refused = await server.post("/v1/completions", { prompt: [7, 9999] });
    expect(refused.status).toBe(400);
    expect(await errorOf(refused)).toMatchObject({ param: "prompt.1", message: expect.stringContaining("9999") });
  });

  it("passes sampling and attention on, with defaults", async () => {
    const engine = await start(new ScriptedEngine([]));
    await server.post(CHAT, {
      messages,
      max_completion_tokens: 7,
      seed: 2 ** 32 + 5,
      temperature: 0,
      top_p: 0.5,
      top_k: -1,
      min_p: 0.1,
      wavekv: { attention: "full", retrieval_budget: 0.2 },
    });
    await server.post(CHAT, { messages });
    await server.post(CHAT, { messages, seed: -1 });
    const [given, plain, random] = engine.requests;
    expect(given).toMatchObject({
      maxTokens: 7,
      sampling: { temperature: 0, topP: 0.5, topK: 0, minP: 0.1, seed: 5 },
      attention: { mode: "full", retrievalBudget: 0.2 },
    });
    const room = 1000 - (plain?.promptTokens.length ?? 0);
    expect(plain).toMatchObject({ maxTokens: room, attention: { mode: null, retrievalBudget: null } });
    expect(plain?.sampling).toMatchObject({ temperature: 1, topP: 1, topK: 0, minP: 0 });
    expect(plain?.sampling.seed).not.toBe(random?.sampling.seed);
  });

  it("is a 500 without internals when the engine fails", async () => {
    await start(new ScriptedEngine([97, new Error("secret detail of the device")]));
    const response = await server.post(CHAT, { messages });
    expect(response.status).toBe(500);
    const error = await errorOf(response);
    expect(error).toMatchObject({ type: "server_error", code: null });
    expect(JSON.stringify(error)).not.toContain("secret");
    await until(() => server.logs.length > 0);
    expect(JSON.stringify(server.logs)).toContain("secret detail");
  });
});

describe("an over-long request", () => {
  const long = { messages: [{ role: "user", content: "x".repeat(1200) }] };

  it.each([false, true])("is 400 with both counts, stream %s", async (streamed) => {
    const engine = await start(new ScriptedEngine([]));
    const response = await server.post(CHAT, { ...long, stream: streamed });
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error).toMatchObject({ type: "invalid_request_error", code: "context_length_exceeded", param: "messages" });
    expect(error.message).toMatch(/1000 tokens.* 1\d\d\d tokens/);
    expect(engine.requests).toEqual([]);
  });

  it("is judged by its beginning where it is far too long", async () => {
    await start(new ScriptedEngine([]));
    const startMs = performance.now();
    const error = await errorOf(await server.post("/v1/completions", { prompt: "long ".repeat(2_000_000) }));
    expect(error).toMatchObject({ code: "context_length_exceeded", message: expect.stringContaining("at least") });
    expect(performance.now() - startMs).toBeLessThan(1_500);
  });

  it("is 400 where an explicit max_tokens does not fit", async () => {
    await start(new ScriptedEngine([]));
    const response = await server.post("/v1/completions", { prompt: "x".repeat(900), max_tokens: 101 });
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error).toMatchObject({ code: "context_length_exceeded", param: "max_tokens" });
    expect(error.message).toContain("1001 tokens (900 in the prompt, 101 in the completion)");
    expect((await server.post("/v1/completions", { prompt: "x".repeat(900), max_tokens: 100 })).status).toBe(200);
  });

  it("takes a prompt that leaves room for one token, and not one more", async () => {
    const engine = await start(new ScriptedEngine([]));
    expect((await server.post("/v1/completions", { prompt: "x".repeat(999) })).status).toBe(200);
    expect(engine.requests[0]?.maxTokens).toBe(1);
    expect((await server.post("/v1/completions", { prompt: "x".repeat(1000) })).status).toBe(400);
    expect((await server.post("/v1/completions", { prompt: "" })).status).toBe(400);
  });
});

describe("a streamed answer", () => {
  it("is role, text, finish with report, usage where asked, [DONE]", async () => {
    await start(new ScriptedEngine([{ processed: 10, cached: 4 }, ...byteIds("hé!")]));
    const { data, done } = await stream(CHAT, { messages, stream_options: { include_usage: true } });
    expect(done).toBe(true);
    expect(data.map((chunk) => chunk.choices[0]?.delta ?? null)).toEqual([
      { role: "assistant", content: "" },
      { content: "h" },
      { content: "é" },
      { content: "!" },
      {},
      null,
    ]);
    expect(data.map((chunk) => chunk.choices[0]?.finish_reason ?? null)).toEqual([
      null,
      null,
      null,
      null,
      "stop",
      null,
    ]);
    expect(data[4]?.wavekv).toMatchObject({ attention: "wave" });
    expect(data[5]).toMatchObject({
      choices: [],
      usage: { completion_tokens: 4, prompt_tokens_details: { cached_tokens: 4 } },
    });
    expect(new Set(data.map(({ id }) => id)).size).toBe(1);
    expect(data.every(({ object }) => object === "chat.completion.chunk")).toBe(true);
  });

  it("has no usage chunk unless asked, and the text shape on /v1/completions", async () => {
    await start(new ScriptedEngine(byteIds("ab")));
    const { data, done } = await stream("/v1/completions", { prompt: "p" });
    expect(done).toBe(true);
    expect(data.map((chunk) => chunk.choices[0]?.text)).toEqual(["a", "b", ""]);
    expect(data.some((chunk) => chunk.usage)).toBe(false);
  });

  it("never sends a stop string, whole or in part", async () => {
    await start(new ScriptedEngine(byteIds("one END two")));
    const { data } = await stream(CHAT, { messages, stop: ["END", "two"] });
    expect(data.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("")).toBe("one ");
    expect(data.at(-1)?.choices[0]?.finish_reason).toBe("stop");
  });

  it("sends its headers while the prompt is still being read, then pings with the progress", async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    await start(new ScriptedEngine([{ processed: 8 }, gate, ...byteIds("ok")]), { pingIntervalMs: 20 });
    const response = await server.post(CHAT, { messages, stream: true });
    let text = "";
    for await (const part of response.body ?? []) {
      text += Buffer.from(part).toString();
      if (text.includes(": prefill 8 of")) release();
    }
    const { data, done } = parseSse(text);
    expect(done).toBe(true);
    expect(data.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("")).toBe("ok");
  });

  it("gives a refusal before the first event its own status", async () => {
    // The engine's answer takes a step of the engine thread.
    const later = new Promise((resolve) => setTimeout(resolve, 60));
    await start(new ScriptedEngine([later, new CallerError("rate_limit_exceeded", "the queue is full")]));
    const response = await server.post(CHAT, { messages, stream: true });
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).not.toBeNull();
    expect(await errorOf(response)).toMatchObject({ code: "rate_limit_exceeded", message: "the queue is full" });
  });

  it("sends an error after the first byte as an event, and closes without [DONE]", async () => {
    const later = new Promise((resolve) => setTimeout(resolve, 30));
    await start(new ScriptedEngine([97, later, new Error("secret detail")]));
    const { data, done } = await stream(CHAT, { messages });
    expect(done).toBe(false);
    expect(data.at(-1)?.error).toMatchObject({ type: "server_error", param: null, code: null });
    expect(JSON.stringify(data)).not.toContain("secret");
    await until(() => server.logs.some(({ msg }) => msg === "request failed after its first byte"));
  });
});

describe("a client that leaves", () => {
  it.each([true, false])("cancels its sequence at once, stream %s", async (streamed) => {
    const engine = await start(new ScriptedEngine([97, forever]));
    const controller = new AbortController();
    const request = server.post(CHAT, { messages, stream: streamed }, { signal: controller.signal });
    const failed = request.then((response) => response.text()).catch((error: Error) => error.name);
    await until(() => engine.numProduced === 1);
    controller.abort();
    expect(await failed).toBe("AbortError");
    await until(() => engine.cancelled.length === 1);
    await until(() => server.state.numActive === 0);
  });

  it("cancels a sequence whose answer it had stopped reading", async () => {
    const engine = await start(new ScriptedEngine(byteIds("x".repeat(50)), { endless: true }));
    const { response, socketClose } = await openAndIgnore(`${server.url}${CHAT}`);
    await until(() => engine.numProduced > 1000);
    socketClose();
    response.destroy();
    await until(() => engine.cancelled.length === 1);
    await until(() => server.state.numActive === 0);
  });
});

describe("a reader that does not read", () => {
  it("stops the stream's growth", async () => {
    const engine = await start(new ScriptedEngine(byteIds("y".repeat(50)), { endless: true }));
    const { response, socketClose } = await openAndIgnore(`${server.url}${CHAT}`);
    let previous = -1;
    // The sockets' buffers fill first; then nothing more may be asked of the generator.
    while (engine.numProduced !== previous) {
      previous = engine.numProduced;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(engine.numProduced).toBeGreaterThan(100);
    socketClose();
    response.destroy();
    await until(() => engine.cancelled.length === 1);
  });
});

/** Opens a stream and never reads its body. */
async function openAndIgnore(url: string) {
  const body = JSON.stringify({ messages, stream: true });
  const headers = { "content-type": "application/json", "content-length": String(body.length) };
  return new Promise<{ response: import("node:http").IncomingMessage; socketClose: () => void }>((resolve, reject) => {
    const request = openRequest(url, { method: "POST", headers }, (response) => {
      response.pause();
      resolve({ response, socketClose: () => request.destroy() });
    });
    request.once("error", reject);
    request.end(body);
  });
}
