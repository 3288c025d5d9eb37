import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, streamText } from "ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasBuild, REAL_MODEL, type RealServer, startRealServer } from "../support/real-server.js";

const prompt = "What is the capital of France? Answer in one sentence.";

describe.skipIf(!hasBuild())("the Vercel ai client against the real server", () => {
  let server: RealServer;
  let provider: ReturnType<typeof createOpenAICompatible>;

  beforeAll(async () => {
    server = await startRealServer("--ctx-size", "2048");
    provider = createOpenAICompatible({ name: "wavekv", baseURL: `${server.url}/v1`, includeUsage: true });
  });
  afterAll(() => server.stop());

  const settings = () => ({ model: provider(REAL_MODEL), prompt, temperature: 0, maxOutputTokens: 30, maxRetries: 0 });

  it("generates text", async () => {
    const { text, usage, finishReason } = await generateText(settings());
    expect(text).toContain("Paris");
    expect(["stop", "length"]).toContain(finishReason);
    expect(usage.inputTokens).toBeGreaterThan(10);
    expect(usage.outputTokens).toBeGreaterThan(2);
  });

  it("streams the same text", async () => {
    const whole = await generateText(settings());
    const result = streamText(settings());
    const parts: string[] = [];
    for await (const part of result.textStream) parts.push(part);
    expect(parts.join("")).toBe(whole.text);
    expect(parts.length).toBeGreaterThan(3);
    expect((await result.usage).outputTokens).toBe(whole.usage.outputTokens);
  });

  it("raises a refusal as an APICallError with the server's words", async () => {
    const refused = generateText({ ...settings(), temperature: 9 });
    await expect(refused).rejects.toThrow(APICallError);
    await expect(refused).rejects.toMatchObject({ statusCode: 400, message: expect.stringContaining("temperature") });
  });
});
