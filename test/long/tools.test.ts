import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasModel } from "../support/has-model.js";
import { hasBuild, type RealServer, startRealServer } from "../support/real-server.js";

const MODEL = "qwen2.5-coder-0.5b";
const parameters = {
  type: "object",
  properties: { city: { type: "string" }, unit: { type: "string", enum: ["celsius", "fahrenheit"] } },
  required: ["city"],
};
const weather = { name: "get_weather", description: "The weather of a city", parameters };
const tools = [{ type: "function" as const, function: weather }];
const question = { role: "user" as const, content: "What is the weather in Paris, in celsius?" };
const greedy = { model: MODEL, messages: [question], temperature: 0, max_tokens: 60 };
const forced = { type: "function" as const, function: { name: "get_weather" } };

describe.skipIf(!hasBuild() || !hasModel(MODEL, "calls of functions"))(
  "calls by a real model",
  { timeout: 120_000 },
  () => {
    let server: RealServer;
    let client: OpenAI;

    beforeAll(async () => {
      server = await startRealServer("--model", MODEL, "--ctx-size", "2048");
      client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
    });
    afterAll(() => server.stop());

    it.each([forced, "required" as const])(
      "makes the call that %j asks for, whole and streamed alike",
      async (choice) => {
        const answer = await client.chat.completions.create({ ...greedy, tools, tool_choice: choice });
        const { message, finish_reason } = answer.choices[0] as (typeof answer.choices)[0];
        expect(finish_reason).toBe("tool_calls");
        expect(message.content).toBeNull();
        const call = message.tool_calls?.[0] as OpenAI.ChatCompletionMessageFunctionToolCall;
        expect(call).toMatchObject({ id: expect.stringMatching(/^call_/), type: "function" });
        expect(call.function.name).toBe("get_weather");
        expect(JSON.parse(call.function.arguments)).toMatchObject({ city: expect.stringContaining("Paris") });
        const runner = client.chat.completions.stream({ ...greedy, tools, tool_choice: choice });
        let numDeltas = 0;
        runner.on("tool_calls.function.arguments.delta", () => {
          numDeltas += 1;
        });
        const streamed = (await runner.finalChatCompletion()).choices[0]?.message.tool_calls?.[0];
        expect(streamed).toMatchObject({ type: "function", function: { arguments: call.function.arguments } });
        expect(numDeltas).toBeGreaterThan(3);
      },
    );

    it("holds the arguments of a forced call to the function's schema, however it is drawn", async () => {
      const body = { ...greedy, tools, tool_choice: forced, temperature: 2, seed: 3, n: 3, max_tokens: 120 };
      const { choices } = await client.chat.completions.create(body);
      let numWhole = 0;
      for (const { message, finish_reason } of choices) {
        if (finish_reason !== "tool_calls") continue;
        numWhole += 1;
        const call = message.tool_calls?.[0] as OpenAI.ChatCompletionMessageFunctionToolCall;
        const { city, unit, ...others } = JSON.parse(call.function.arguments);
        expect(typeof city).toBe("string");
        expect([undefined, "celsius", "fahrenheit"]).toContain(unit);
        expect(others).toEqual({});
      }
      expect(numWhole).toBeGreaterThan(0);
    });

    it("takes a call and its result back, and leaves tools out where they are not to be called", async () => {
      const called = await client.chat.completions.create({ ...greedy, tools, tool_choice: forced });
      const message = called.choices[0]?.message as OpenAI.ChatCompletionMessage;
      const result = {
        role: "tool" as const,
        tool_call_id: message.tool_calls?.[0]?.id ?? "",
        content: "It is 31 degrees.",
      };
      const told = await client.chat.completions.create({ ...greedy, messages: [question, message, result], tools });
      const [before, after] = [called.usage?.prompt_tokens ?? 0, told.usage?.prompt_tokens ?? 0];
      expect(after - before).toBeGreaterThan(25);
      const without = await client.chat.completions.create(greedy);
      const none = await client.chat.completions.create({ ...greedy, tools, tool_choice: "none" });
      expect(none.usage?.prompt_tokens).toBe(without.usage?.prompt_tokens);
      expect(called.usage?.prompt_tokens).toBeGreaterThan((without.usage?.prompt_tokens ?? 0) + 50);
    });

    it("calls by itself where the question asks for it", async () => {
      const answer = await client.chat.completions.create({ ...greedy, tools });
      expect(answer.choices[0]).toMatchObject({
        finish_reason: expect.stringMatching(/tool_calls|length/),
        message: { content: null, tool_calls: [{ function: { name: "get_weather" } }] },
      });
    });

    it("refuses a choice without its tool, and arguments that are no JSON", async () => {
      const other = { type: "function" as const, function: { name: "other" } };
      const ask = (fields: object) => client.chat.completions.create({ ...greedy, ...fields });
      await expect(ask({ tools, tool_choice: other })).rejects.toMatchObject({ status: 400, param: "tool_choice" });
      await expect(ask({ tool_choice: "required" })).rejects.toMatchObject({ status: 400, param: "tool_choice" });
      const bad = { id: "c", type: "function", function: { name: "get_weather", arguments: "{" } };
      const messages = [question, { role: "assistant", content: null, tool_calls: [bad] }];
      await expect(ask({ tools, messages })).rejects.toMatchObject({
        param: "messages.1.tool_calls.0.function.arguments",
      });
    });

    it("makes calls in Anthropic's shape", async () => {
      const anthropic = new Anthropic({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
      const { name, description } = weather;
      const body = {
        ...greedy,
        tools: [{ name, description, input_schema: parameters as Anthropic.Tool.InputSchema }],
        tool_choice: { type: "tool" as const, name },
      };
      const message = await anthropic.messages.create(body);
      expect(message.stop_reason).toBe("tool_use");
      const use = message.content[0] as Anthropic.ToolUseBlock;
      expect(use).toMatchObject({ type: "tool_use", name, input: { city: expect.stringContaining("Paris") } });
      const streamed = await anthropic.messages.stream(body).finalMessage();
      expect(streamed.content[0]).toMatchObject({ type: "tool_use", name, input: use.input });
      const result = { type: "tool_result" as const, tool_use_id: use.id, content: "It is 31 degrees." };
      const told = await anthropic.messages.create({
        ...body,
        tool_choice: { type: "auto" },
        messages: [question, { role: "assistant", content: message.content }, { role: "user", content: [result] }],
      });
      expect(told.usage.input_tokens - message.usage.input_tokens).toBeGreaterThan(25);
    });

    it("makes calls in the shape of the Responses API", async () => {
      const body = {
        model: MODEL,
        temperature: 0,
        max_output_tokens: 60,
        input: question.content,
        tools: [{ type: "function" as const, ...weather, strict: false }],
        tool_choice: { type: "function" as const, name: weather.name },
      };
      const response = await client.responses.create(body);
      const call = response.output[0] as OpenAI.Responses.ResponseFunctionToolCall;
      expect(call).toMatchObject({ type: "function_call", name: weather.name, status: "completed" });
      const streamed = await client.responses.stream(body).finalResponse();
      expect(streamed.output[0]).toMatchObject({ type: "function_call", arguments: call.arguments });
      const told = await client.responses.create({
        ...body,
        tool_choice: "auto",
        input: [
          { role: "user", content: question.content },
          call,
          { type: "function_call_output", call_id: call.call_id, output: "It is 31 degrees." },
        ],
      });
      const [before, after] = [response.usage?.input_tokens ?? 0, told.usage?.input_tokens ?? 0];
      expect(after - before).toBeGreaterThan(25);
    });
  },
);
