import OpenAI, { BadRequestError } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasBuild, REAL_MODEL, type RealServer, startRealServer } from "../support/real-server.js";

const input = "What is the capital of France? Answer in one sentence.";
const greedy = { model: REAL_MODEL, input, temperature: 0, max_output_tokens: 30 };

describe.skipIf(!hasBuild())(
  "the Responses API, by the openai client against the real server",
  { timeout: 60_000 },
  () => {
    let server: RealServer;
    let client: OpenAI;

    beforeAll(async () => {
      server = await startRealServer("--ctx-size", "2048");
      client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
    });
    afterAll(() => server.stop());

    it("answers whole, with usage", async () => {
      const response = await client.responses.create({ ...greedy, metadata: { a: "b" } });
      expect(response.output_text).toContain("Paris");
      expect(response).toMatchObject({
        object: "response",
        status: "completed",
        error: null,
        incomplete_details: null,
        store: false,
        metadata: { a: "b" },
        output: [{ type: "message", role: "assistant", status: "completed" }],
      });
      expect(response.id).toMatch(/^resp_/);
      expect(response.usage?.total_tokens).toBe(
        (response.usage?.input_tokens ?? 0) + (response.usage?.output_tokens ?? 0),
      );
      const cut = await client.responses.create({ ...greedy, max_output_tokens: 2 });
      expect(cut).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });
    });

    it("streams the same by the API's order of events", async () => {
      const whole = await client.responses.create(greedy);
      const types: string[] = [];
      const numbers: number[] = [];
      let text = "";
      for await (const event of await client.responses.create({ ...greedy, stream: true })) {
        numbers.push(event.sequence_number);
        if (types.at(-1) !== event.type) types.push(event.type);
        if (event.type === "response.output_text.delta") text += event.delta;
        if (event.type === "response.completed")
          expect(event.response.output[0]).toMatchObject({ content: [{ text }] });
      }
      expect(types).toEqual([
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
      ]);
      expect(numbers).toEqual(numbers.map((_, index) => index));
      expect(text).toBe(whole.output_text);
      const final = await client.responses.stream(greedy).finalResponse();
      expect(final.output_text).toBe(whole.output_text);
    });

    it("takes a conversation of items and instructions, and is the chat of the same messages", async () => {
      const items = [
        { role: "user" as const, content: [{ type: "input_text" as const, text: "My name is Ada." }] },
        { role: "assistant" as const, content: "Hello Ada." },
        { role: "user" as const, content: "What is my name?" },
      ];
      const response = await client.responses.create({ ...greedy, instructions: "Be brief.", input: items });
      const chat = await client.chat.completions.create({
        model: REAL_MODEL,
        temperature: 0,
        max_tokens: 30,
        messages: [
          { role: "system", content: "Be brief." },
          { role: "user", content: "My name is Ada." },
          { role: "assistant", content: "Hello Ada." },
          { role: "user", content: "What is my name?" },
        ],
      });
      expect(response.output_text).toBe(chat.choices[0]?.message.content);
    });

    it.each([
      [{ previous_response_id: "resp_1" }, "previous_response_id"],
      [{ background: true }, "background"],
      [{ reasoning: { effort: "high" } }, "reasoning"],
      [{ input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] }, "input"],
      [{ input: [] }, "input"],
      [{ truncation: "auto" }, "truncation"],
      [{ max_output_tokens: 0 }, "max_output_tokens"],
      [{ tools: [{ type: "web_search" }] }, "tools.0.type"],
      [{ tool_choice: "required" }, "tool_choice"],
    ])("refuses %j at %s", async (fields, param) => {
      const asked = client.responses.create({ ...greedy, ...fields } as typeof greedy);
      await expect(asked).rejects.toThrow(BadRequestError);
      await expect(asked).rejects.toMatchObject({ param: expect.stringContaining(param) });
    });
  },
);
