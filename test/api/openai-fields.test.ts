import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Chunk, parseSse } from "../support/api-server.js";
import { hasBuild, REAL_MODEL, type RealServer, startRealServer } from "../support/real-server.js";

const messages = [{ role: "user" as const, content: "What is the capital of France? Answer in one sentence." }];
const greedy = { model: REAL_MODEL, messages, temperature: 0, max_tokens: 12 };

describe.skipIf(!hasBuild())("sampling and prompt fields against the real server", { timeout: 60_000 }, () => {
  let server: RealServer;
  let client: OpenAI;

  beforeAll(async () => {
    server = await startRealServer("--ctx-size", "4096", "--parallel", "3", "--ping-interval", "1");
    client = new OpenAI({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
  });
  afterAll(() => server.stop());

  const post = (path: string, body: object) =>
    fetch(`${server.url}${path}`, { method: "POST", body: JSON.stringify(body) });
  function chat(fields: object) {
    return client.chat.completions.create({ ...greedy, ...fields, stream: false });
  }

  it("gives log-probabilities in OpenAI's chat shape, whole and streamed alike", async () => {
    const { choices } = await chat({ logprobs: true, top_logprobs: 3 });
    const content = choices[0]?.logprobs?.content ?? [];
    expect(choices[0]?.logprobs?.refusal).toBeNull();
    expect(content.map(({ token }) => token).join("")).toBe(choices[0]?.message.content);
    for (const { token, logprob, bytes, top_logprobs } of content) {
      expect(Buffer.from(bytes ?? []).toString()).toBe(token);
      expect(logprob).toBeLessThanOrEqual(0);
      expect(top_logprobs).toHaveLength(3);
      expect(top_logprobs[0]).toEqual({ token, logprob, bytes });
      const mass = top_logprobs.reduce((sum, { logprob: one }) => sum + Math.exp(one), 0);
      expect(mass).toBeLessThanOrEqual(1.000001);
    }
    const stream = await client.chat.completions.create({ ...greedy, logprobs: true, top_logprobs: 3, stream: true });
    const streamed: unknown[] = [];
    for await (const chunk of stream) {
      const logprobs = chunk.choices[0]?.logprobs;
      if (!logprobs) continue;
      expect(logprobs.content?.map(({ token }) => token).join("")).toBe(chunk.choices[0]?.delta.content);
      streamed.push(...(logprobs.content ?? []));
    }
    expect(streamed).toEqual(content);
    expect((await chat({ logprobs: true })).choices[0]?.logprobs?.content?.[0]?.top_logprobs).toEqual([]);
    expect((await chat({})).choices[0]?.logprobs).toBeNull();
  });

  it("gives log-probabilities in the shape of text completions", async () => {
    const body = { model: REAL_MODEL, prompt: "The capital of France is", temperature: 0, max_tokens: 6, logprobs: 2 };
    const { choices } = await client.completions.create(body);
    const { text, logprobs } = choices[0] as (typeof choices)[0];
    expect(logprobs?.tokens?.join("")).toBe(text);
    expect(logprobs?.text_offset?.[0]).toBe(0);
    for (const [index, token] of (logprobs?.tokens ?? []).entries()) {
      expect(text.slice(logprobs?.text_offset?.[index]).startsWith(token)).toBe(true);
      expect(Object.keys(logprobs?.top_logprobs?.[index] ?? {})).toHaveLength(2);
      expect(logprobs?.top_logprobs?.[index]?.[token]).toBe(logprobs?.token_logprobs?.[index]);
    }
  });

  it("keeps the tokens of a stop string out of text and log-probabilities, also where they were held back", async () => {
    for (const stop of ["France", "is Par", "tal of"]) {
      const { choices } = await chat({ logprobs: true, stop });
      const text = choices[0]?.message.content ?? "";
      expect("The capital of France is Paris.".startsWith(text)).toBe(true);
      expect(text).not.toContain(stop);
      const tokens = choices[0]?.logprobs?.content?.map(({ token }) => token).join("") ?? "";
      // The token that the stop string cuts is the last.
      expect(tokens.startsWith(text)).toBe(true);
      expect(tokens.length - text.length).toBeLessThan(8);
      const runner = client.chat.completions.stream({ ...greedy, stop });
      expect((await runner.finalChatCompletion()).choices[0]?.message.content).toBe(text);
    }
  });

  it("bans and favours tokens by bias, and penalises repetition", async () => {
    const { tokens } = (await (await post("/tokenize", { content: " Paris" })).json()) as { tokens: number[] };
    const paris = String(tokens[0]);
    expect((await chat({})).choices[0]?.message.content).toContain("Paris");
    expect((await chat({ logit_bias: { [paris]: -100 } })).choices[0]?.message.content).not.toContain(" Paris");
    const pairs = await post("/chat/completions", { ...greedy, logit_bias: [[tokens[0], false]] });
    expect(((await pairs.json()) as Answer).choices[0]?.message?.content).not.toContain(" Paris");
    const favoured = await chat({ logit_bias: { [paris]: 100 }, max_tokens: 3 });
    expect(favoured.choices[0]?.message.content).toBe(" Paris Paris Paris");
    const curbed = await chat({
      logit_bias: { [paris]: 100 },
      frequency_penalty: 2,
      presence_penalty: 2,
      max_tokens: 3,
    });
    expect(curbed.choices[0]?.message.content).toBe(" Paris Paris Paris");
    const outside = await post("/chat/completions", { ...greedy, logit_bias: { 99999: 1 } });
    expect(outside.status).toBe(400);
    expect(((await outside.json()) as Answer).error?.param).toBe("logit_bias.99999");
    const looping = { model: REAL_MODEL, prompt: "one two one two one two one two", temperature: 0, max_tokens: 20 };
    const loop = await client.completions.create(looping);
    expect(loop.choices[0]?.text).toMatch(/(\btwo\W+){5}/);
    const repeat = { ...looping, repeat_penalty: 1.8, repeat_last_n: -1 } as typeof looping;
    expect((await client.completions.create(repeat)).choices[0]?.text).not.toMatch(/(\btwo\W+){3}/);
  });

  it("gives n choices with a seed each, repeatable, alike alone and beside others; the prompt counts once", async () => {
    const sampled = { temperature: 1, seed: 7, n: 5 };
    const texts = (answer: { choices: { index: number; message: { content: string | null } }[] }) =>
      answer.choices.map(({ message }) => message.content);
    const [first, second] = await Promise.all([chat(sampled), chat(sampled)]);
    expect(first.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    expect(texts(second)).toEqual(texts(first));
    expect(new Set(texts(first)).size).toBeGreaterThan(1);
    const alone = await chat({ temperature: 1, seed: 9 });
    expect(alone.choices[0]?.message.content).toBe(first.choices[2]?.message.content);
    expect(first.usage?.prompt_tokens).toBe(alone.usage?.prompt_tokens);
    expect(first.usage?.completion_tokens).toBeGreaterThan(20);
    const streamed = ["", "", "", "", ""];
    const finishes: (string | null)[] = [];
    for await (const chunk of await client.chat.completions.create({ ...greedy, ...sampled, stream: true })) {
      const choice = chunk.choices[0];
      streamed[choice?.index ?? 9] += choice?.delta.content ?? "";
      if (choice?.finish_reason) finishes.push(choice.finish_reason);
    }
    expect(streamed).toEqual(texts(first));
    expect(finishes).toHaveLength(5);
  });

  it("completes several prompts, as text or as ids, each with its choices, and echoes", async () => {
    const prompts = ["The capital of France is", "Two and two make"];
    const body = { model: REAL_MODEL, temperature: 0, max_tokens: 4, n: 2 };
    const several = await client.completions.create({ ...body, prompt: prompts, echo: true });
    expect(several.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(several.choices[0]?.text).toBe(several.choices[1]?.text);
    expect(several.choices[0]?.text.startsWith(prompts[0] as string)).toBe(true);
    expect(several.choices[3]?.text.startsWith(prompts[1] as string)).toBe(true);
    const ids = await Promise.all(
      prompts.map(
        async (content) => ((await (await post("/tokenize", { content })).json()) as { tokens: number[] }).tokens,
      ),
    );
    const fromIds = await client.completions.create({ ...body, prompt: ids, echo: true });
    expect(fromIds.choices.map(({ text }) => text)).toEqual(several.choices.map(({ text }) => text));
    const { data } = parseSse(
      await (await post("/v1/completions", { ...body, prompt: prompts, echo: true, stream: true })).text(),
    );
    const texts = ["", "", "", ""];
    for (const { choices } of data) texts[(choices[0] as { index?: number })?.index ?? 9] += choices[0]?.text ?? "";
    expect(texts).toEqual(several.choices.map(({ text }) => text));
    const wrong = await post("/v1/completions", {
      ...body,
      prompt: [
        [1, 2],
        [3, 999_999],
      ],
    });
    expect(((await wrong.json()) as Answer).error?.param).toBe("prompt.1.1");
  });

  it("goes on with a last message of the assistant", async () => {
    const prefilled = [...messages, { role: "assistant" as const, content: "The city that you ask for is called" }];
    const { choices } = await chat({ messages: prefilled, max_tokens: 4 });
    expect(choices[0]?.message.content?.startsWith(" Paris")).toBe(true);
  });

  it("reports the progress of a long prompt in chunks", async () => {
    const prompt = "The quick brown fox jumps over the lazy dog. ".repeat(300);
    const ask = async () =>
      parseSse(
        await (await post("/completions", { prompt, max_tokens: 2, stream: true, return_progress: true })).text(),
      ).data.flatMap((chunk) => (chunk as Chunk & { prompt_progress?: Progress }).prompt_progress ?? []);
    const progress = await ask();
    expect(progress.length).toBeGreaterThan(2);
    const last = progress.at(-1) as Progress;
    expect(last.total).toBeGreaterThan(3000);
    expect(last.processed).toBe(last.total);
    expect(progress.every(({ cache }) => cache === 0)).toBe(true);
    expect(progress.map(({ processed }) => processed)).toEqual(
      progress.map(({ processed }) => processed).sort((a, b) => a - b),
    );
    expect(last.time_ms).toBeGreaterThan(progress[0]?.time_ms ?? Number.POSITIVE_INFINITY);
    expect((await ask())[0]?.cache).toBeGreaterThan(1000);
  });

  it("answers the same without /v1, and describes itself without a key or another host", async () => {
    expect((await client.models.list()).data[0]?.id).toBe(REAL_MODEL);
    expect((await fetch(`${server.url}/v1/models`)).status).toBe(200);
    const page = await (await fetch(`${server.url}/docs`)).text();
    expect(page).toContain("openapi.json");
    expect(page).not.toMatch(/https?:\/\//);
  });
});

interface Progress {
  total: number;
  cache: number;
  processed: number;
  time_ms: number;
}

interface Answer {
  choices: { message?: { content: string } }[];
  error?: { param: string };
}
