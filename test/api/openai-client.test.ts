import OpenAI, { APIUserAbortError, AuthenticationError, BadRequestError, NotFoundError } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasBuild, REAL_MODEL, type RealServer, startRealServer } from "../support/real-server.js";

const KEY = "test-key";
const question = [{ role: "user" as const, content: "What is the capital of France? Answer in one sentence." }];
const greedy = { model: REAL_MODEL, messages: question, temperature: 0, max_tokens: 30 };

describe.skipIf(!hasBuild())("the official openai client against the real server", () => {
  let server: RealServer;
  let client: OpenAI;

  beforeAll(async () => {
    server = await startRealServer("--api-key", KEY, "--ctx-size", "2048", "--parallel", "4");
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: KEY, maxRetries: 0 });
  });
  afterAll(() => server.stop());

  it("lists and retrieves the model", async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toEqual([REAL_MODEL]);
    expect(await client.models.retrieve(REAL_MODEL)).toMatchObject({ id: REAL_MODEL, object: "model" });
    await expect(client.models.retrieve("other")).rejects.toThrow(NotFoundError);
  });

  it("gets a sensible answer, whole, with usage and report", async () => {
    const completion = await client.chat.completions.create(greedy);
    expect(completion.choices[0]?.message.content).toContain("Paris");
    expect(completion.choices[0]?.message.role).toBe("assistant");
    const usage = completion.usage;
    expect(usage?.prompt_tokens).toBeGreaterThan(10);
    expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));
    expect(usage?.prompt_tokens_details?.cached_tokens).toBeGreaterThanOrEqual(0);
    expect((completion as { wavekv?: unknown }).wavekv).toMatchObject({ timings: { decode_ms: expect.any(Number) } });
  });

  it("streams the same answer, with usage at the end", async () => {
    const whole = await client.chat.completions.create(greedy);
    const stream = await client.chat.completions.create({
      ...greedy,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let finish: string | null = null;
    let numChunks = 0;
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      numChunks += 1;
      text += chunk.choices[0]?.delta.content ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(finish).toBe(whole.choices[0]?.finish_reason);
    expect(usage).toEqual(whole.usage);
    expect(numChunks).toBeGreaterThan(5);
  });

  it("runs through the client's own stream helper", async () => {
    const runner = client.chat.completions.stream({ ...greedy, stop: ["Paris"] });
    const final = await runner.finalChatCompletion();
    expect(final.choices[0]?.message.content).not.toContain("Paris");
    expect(final.choices[0]?.finish_reason).toBe("stop");
  });

  it("gives one answer for one seed, and ends at max_tokens with `length`", async () => {
    const sampled = { ...greedy, temperature: 1, seed: 1234, max_tokens: 12 };
    const [first, second] = await Promise.all([
      client.chat.completions.create(sampled),
      client.chat.completions.create(sampled),
    ]);
    expect(first.choices[0]?.message.content).toBe(second.choices[0]?.message.content);
    const short = await client.chat.completions.create({ ...greedy, max_tokens: 2 });
    expect(short.choices[0]?.finish_reason).toBe("length");
    expect(short.usage?.completion_tokens).toBe(2);
  });

  it("completes text, and token ids alike", async () => {
    const body = { model: REAL_MODEL, prompt: "The capital of France is", max_tokens: 8, temperature: 0 };
    const fromText = await client.completions.create(body);
    expect(fromText.choices[0]?.text).toContain("Paris");
    const response = await fetch(`${server.url}/tokenize`, {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ content: body.prompt, add_special: true }),
    });
    const { tokens } = (await response.json()) as { tokens: number[] };
    const fromIds = await client.completions.create({ ...body, prompt: tokens });
    expect(fromIds.choices[0]?.text).toBe(fromText.choices[0]?.text);
    const stream = await client.completions.create({ ...body, stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? "";
    expect(text).toBe(fromText.choices[0]?.text);
  });

  it("raises typed errors", async () => {
    const tooHot = client.chat.completions.create({ ...greedy, temperature: 3 });
    await expect(tooHot).rejects.toThrow(BadRequestError);
    await expect(tooHot).rejects.toMatchObject({ param: "temperature", type: "invalid_request_error" });
    await expect(client.chat.completions.create({ ...greedy, n: 0 })).rejects.toMatchObject({
      status: 400,
      param: "n",
    });
    await expect(client.chat.completions.create({ ...greedy, model: "gpt-x" })).rejects.toThrow(NotFoundError);
    const stranger = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "wrong", maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toThrow(AuthenticationError);
  });

  it.each([false, true])("refuses an over-long prompt with the counts, stream %s", async (stream) => {
    const messages = [{ role: "user" as const, content: "word ".repeat(3000) }];
    const asked = client.chat.completions.create({ model: REAL_MODEL, messages, stream });
    await expect(asked).rejects.toThrow(BadRequestError);
    await expect(asked).rejects.toMatchObject({
      code: "context_length_exceeded",
      message: expect.stringMatching(/2048 .* 3\d\d\d tokens/),
    });
  });

  it("aborts an answer, which frees its place", async () => {
    const stream = await client.chat.completions.create({
      ...greedy,
      max_tokens: 1500,
      stream: true,
      messages: [{ role: "user", content: "Count from one to a thousand." }],
    });
    let numChunks = 0;
    for await (const _chunk of stream) if (++numChunks === 3) stream.controller.abort();
    expect(numChunks).toBeLessThan(20);
    await expect.poll(async () => runningSequences(), { timeout: 5_000 }).toBe(0);
    const controller = new AbortController();
    const whole = client.chat.completions.create({ ...greedy, max_tokens: 1500 }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 100);
    await expect(whole).rejects.toThrow(APIUserAbortError);
    await expect.poll(async () => runningSequences(), { timeout: 5_000 }).toBe(0);
  });

  async function runningSequences(): Promise<number> {
    const response = await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${KEY}` } });
    return Number(/^wavekv_sequences_running (\d+)/m.exec(await response.text())?.[1]);
  }
});
