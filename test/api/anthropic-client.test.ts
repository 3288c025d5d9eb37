import Anthropic, { AuthenticationError, BadRequestError, NotFoundError } from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasBuild, REAL_MODEL, type RealServer, startRealServer } from "../support/real-server.js";

const KEY = "test-key";
const question = [{ role: "user" as const, content: "What is the capital of France? Answer in one sentence." }];
const greedy = { model: REAL_MODEL, messages: question, temperature: 0, max_tokens: 30 };

describe.skipIf(!hasBuild())("the official Anthropic client against the real server", { timeout: 60_000 }, () => {
  let server: RealServer;
  let client: Anthropic;

  beforeAll(async () => {
    server = await startRealServer("--api-key", KEY, "--ctx-size", "3072");
    client = new Anthropic({ baseURL: server.url, apiKey: KEY, maxRetries: 0 });
  });
  afterAll(() => server.stop());

  it("gets a message, whole", async () => {
    const message = await client.messages.create(greedy);
    expect(message).toMatchObject({
      type: "message",
      role: "assistant",
      model: REAL_MODEL,
      content: [{ type: "text", text: expect.stringContaining("Paris") }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: { cache_read_input_tokens: 0, cache_creation_input_tokens: 0 },
    });
    expect(message.id).toMatch(/^msg_/);
    expect(message.usage.output_tokens).toBeGreaterThan(3);
    const counted = await client.messages.countTokens({ model: REAL_MODEL, messages: question });
    expect(counted.input_tokens).toBe(message.usage.input_tokens);
  });

  it("streams the same message, by the API's sequence of events", async () => {
    const whole = await client.messages.create(greedy);
    const types: string[] = [];
    const stream = await client.messages.create({ ...greedy, stream: true });
    for await (const event of stream) if (types.at(-1) !== event.type) types.push(event.type);
    // The client hides pings.
    expect(types).toEqual([
      "message_start",
      "content_block_start",
      "content_block_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    const final = await client.messages.stream(greedy).finalMessage();
    expect(final.content).toMatchObject([{ type: "text", text: (whole.content[0] as { text: string }).text }]);
    expect(final.stop_reason).toBe(whole.stop_reason);
    expect(final.usage).toMatchObject(whole.usage);
    const response = await fetch(`${server.url}/v1/messages`, {
      method: "POST",
      headers: { "x-api-key": KEY },
      body: JSON.stringify({ ...greedy, max_tokens: 2, stream: true }),
    });
    const names = [...(await response.text()).matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
    expect(names.slice(0, 4)).toEqual(["message_start", "content_block_start", "ping", "content_block_delta"]);
    expect(names.slice(-3)).toEqual(["content_block_stop", "message_delta", "message_stop"]);
  });

  it("takes system, stop sequences, blocks and the beginning of an answer", async () => {
    const stopped = await client.messages.create({ ...greedy, stop_sequences: ["Par", "x"] });
    expect(stopped).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: "Par" });
    expect((stopped.content[0] as { text: string }).text).not.toContain("Par");
    const short = await client.messages.create({ ...greedy, max_tokens: 2 });
    expect(short).toMatchObject({ stop_reason: "max_tokens", usage: { output_tokens: 2 } });
    const system = [
      { type: "text" as const, text: "Answer in French.", cache_control: { type: "ephemeral" as const } },
    ];
    const counted = await client.messages.countTokens({ model: REAL_MODEL, messages: question, system });
    const plain = await client.messages.countTokens({ model: REAL_MODEL, messages: question, system: "" });
    expect(counted.input_tokens).not.toBe(plain.input_tokens);
    const begun = [
      ...question,
      { role: "assistant" as const, content: [{ type: "text" as const, text: "The city is called" }] },
    ];
    const continued = await client.messages.create({ ...greedy, messages: begun, max_tokens: 3 });
    expect((continued.content[0] as { text: string }).text).toContain("Paris");
  });

  it("says how much of the prompt was cached", async () => {
    const messages = [{ role: "user" as const, content: "A fox and a dog. ".repeat(400) }];
    const first = await client.messages.create({ ...greedy, messages, max_tokens: 1 });
    const again = await client.messages.create({ ...greedy, messages, max_tokens: 1 });
    const cached = again.usage.cache_read_input_tokens ?? 0;
    expect(cached).toBeGreaterThanOrEqual(1024);
    expect(again.usage.input_tokens).toBe(first.usage.input_tokens - cached);
    const streamed = client.messages.stream({ ...greedy, messages, max_tokens: 1 });
    expect((await streamed.finalMessage()).usage).toMatchObject({ cache_read_input_tokens: cached });
  });

  it("raises typed errors, in Anthropic's shape", async () => {
    const tooHot = { ...greedy, temperature: 3 };
    const hot = client.messages.create(tooHot);
    await expect(hot).rejects.toThrow(BadRequestError);
    await expect(hot).rejects.toMatchObject({
      error: {
        type: "error",
        error: { type: "invalid_request_error", message: expect.stringContaining("temperature") },
      },
    });
    await expect(client.messages.create({ ...greedy, model: "claude-x" })).rejects.toThrow(NotFoundError);
    const stranger = new Anthropic({ baseURL: server.url, apiKey: "wrong", maxRetries: 0 });
    await expect(stranger.messages.create(greedy)).rejects.toThrow(AuthenticationError);
    await expect(client.messages.create({ ...greedy, max_tokens: 9000 })).rejects.toThrow(/maximum context length/);
    const image = [{ type: "image" as const, source: { type: "url" as const, url: "https://example.org/x.png" } }];
    const asked = client.messages.create({ ...greedy, messages: [{ role: "user" as const, content: image }] });
    await expect(asked).rejects.toThrow(/messages\.0\.content\.0/);
    const tools = [{ name: "f", input_schema: { type: "object" as const } }];
    await expect(client.messages.create({ ...greedy, tools })).rejects.toThrow(/not made to call functions/);
    const wrong = await fetch(`${server.url}/v1/messages`, { headers: { "x-api-key": KEY, "x-request-id": "r1" } });
    expect(wrong.status).toBe(405);
    expect(await wrong.json()).toMatchObject({ type: "error", request_id: "r1" });
  });
});
