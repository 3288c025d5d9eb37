import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasBuild, REAL_MODEL, type RealServer, startRealServer } from "../support/real-server.js";

const schema = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 20 },
    age: { type: "integer" },
    colours: { type: "array", items: { enum: ["red", "green", "blue"] }, minItems: 1, maxItems: 3 },
    alive: { type: "boolean" },
  },
  required: ["name", "age", "colours", "alive"],
  additionalProperties: false,
};
const messages = [{ role: "user" as const, content: "Describe a person as JSON." }];
const base = { model: REAL_MODEL, messages, max_tokens: 160 };
const format = { type: "json_schema" as const, json_schema: { name: "person", schema, strict: true } };

function checkPerson(text: string | null | undefined): void {
  const person = JSON.parse(text ?? "") as Record<string, unknown>;
  expect(Object.keys(person)).toEqual(["name", "age", "colours", "alive"]);
  expect(typeof person.name).toBe("string");
  expect([...(person.name as string)].length).toBeLessThanOrEqual(20);
  expect(Number.isInteger(person.age)).toBe(true);
  expect(typeof person.alive).toBe("boolean");
  expect((person.colours as string[]).every((colour) => ["red", "green", "blue"].includes(colour))).toBe(true);
}

describe.skipIf(!hasBuild())("answers held to a form, by the real server", { timeout: 120_000 }, () => {
  let server: RealServer;
  let client: OpenAI;

  beforeAll(async () => {
    server = await startRealServer("--ctx-size", "2048");
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  });
  afterAll(() => server.stop());

  it("satisfy the schema, greedy and at any seed", async () => {
    const greedy = await client.chat.completions.create({ ...base, temperature: 0, response_format: format });
    checkPerson(greedy.choices[0]?.message.content);
    expect(greedy.choices[0]?.finish_reason).toBe("stop");
    const hot = await client.chat.completions.create({
      ...base,
      temperature: 1.5,
      n: 8,
      seed: 1,
      response_format: format,
    });
    for (const { message, finish_reason } of hot.choices) if (finish_reason === "stop") checkPerson(message.content);
    expect(hot.choices.filter(({ finish_reason }) => finish_reason === "stop").length).toBeGreaterThan(5);
    expect(new Set(hot.choices.map(({ message }) => message.content)).size).toBeGreaterThan(4);
  });

  it("are the same streamed, by the client's helper", async () => {
    const body = { ...base, temperature: 0, response_format: format };
    const whole = await client.chat.completions.create(body);
    const streamed = await client.chat.completions.stream(body).finalChatCompletion();
    expect(streamed.choices[0]?.message.content).toBe(whole.choices[0]?.message.content);
    checkPerson(streamed.choices[0]?.message.content);
  });

  it("are objects under json_object, also beside unconstrained answers", async () => {
    const ask = (fields: object) =>
      client.chat.completions.create({ ...base, temperature: 0, max_tokens: 80, ...fields, stream: false });
    const alone = await ask({});
    const [held, free] = await Promise.all([ask({ response_format: { type: "json_object" } }), ask({})]);
    const text = held.choices[0]?.message.content ?? "";
    expect(text.startsWith("{")).toBe(true);
    if (held.choices[0]?.finish_reason === "stop") expect(typeof JSON.parse(text)).toBe("object");
    expect(free.choices[0]?.message.content).toBe(alone.choices[0]?.message.content);
    const byLlamaField = await ask({ response_format: { type: "json_object", schema: { enum: [[1, 2]] } } });
    expect(byLlamaField.choices[0]).toMatchObject({ message: { content: "[1,2]" }, finish_reason: "stop" });
  });

  it("satisfy the schema in the Responses API", async () => {
    const text = { format: { type: "json_schema" as const, name: "person", schema, strict: true } };
    const body = { model: REAL_MODEL, input: "Describe a person.", max_output_tokens: 160, temperature: 0, text };
    checkPerson((await client.responses.create(body)).output_text);
  });

  it("are refused where the grammar cannot hold to the schema, by the keyword's path", async () => {
    const bad = { type: "object", properties: { id: { type: "string", pattern: "^a" } } };
    const asked = client.chat.completions.create({
      ...base,
      response_format: { type: "json_schema", json_schema: { name: "x", schema: bad } },
    });
    await expect(asked).rejects.toMatchObject({
      status: 400,
      param: "response_format.json_schema.schema.properties.id.pattern",
    });
  });
});
