import { describe, expect, it } from "vitest";
import { routingKey } from "../../src/gateway/routing-key.js";

const PREFIX_BYTES = 256;

function keyOf(body: unknown, path = "/v1/chat/completions"): string {
  const bytes = new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
  return [...routingKey(path, bytes, PREFIX_BYTES)].map((byte) => byte.toString(16)).join(" ");
}

const document = "A long report. ".repeat(100);
const system = { role: "system", content: "You answer in one sentence." };

describe("routingKey", () => {
  it("follows the context, whatever the prompt and the path", () => {
    const first = keyOf({ wavekv: { context: "report" }, messages: [{ role: "user", content: "a" }] });
    expect(keyOf({ wavekv: { context: "report" }, prompt: "b" }, "/v1/completions")).toBe(first);
    expect(keyOf({ wavekv: { context: "report-2" }, messages: [{ role: "user", content: "a" }] })).not.toBe(first);
  });

  it("takes the prompt where the context is absent, empty or no text", () => {
    const plain = keyOf({ prompt: "b" });
    for (const wavekv of [undefined, null, {}, { context: "" }, { context: 7 }, "report", ["report"]]) {
      expect(keyOf({ wavekv, prompt: "b" })).toBe(plain);
    }
  });

  it("keeps a context apart from a prompt of the same text", () => {
    expect(keyOf({ wavekv: { context: "same" } })).not.toBe(keyOf({ prompt: "same" }));
  });

  it("stays the same while a conversation grows", () => {
    const turn1 = [system, { role: "user", content: "What is a KV cache?" }];
    const turn2 = [...turn1, { role: "assistant", content: "Keys and values." }, { role: "user", content: "Why?" }];
    expect(keyOf({ messages: turn2 })).toBe(keyOf({ messages: turn1 }));
    expect(keyOf({ messages: [system, { role: "user", content: "Another?" }] })).not.toBe(keyOf({ messages: turn1 }));
  });

  it("is one for many questions about one long document, in the system or the user message", () => {
    const ask = (question: string) => keyOf({ messages: [{ role: "user", content: `${document}\n${question}` }] });
    expect(ask("Who wrote it?")).toBe(ask("When?"));
    const askSystem = (question: string) =>
      keyOf({
        messages: [
          { role: "system", content: document },
          { role: "user", content: question },
        ],
      });
    expect(askSystem("Who wrote it?")).toBe(askSystem("When?"));
  });

  it("is the same for text and for text in parts", () => {
    const parts = [
      { type: "text", text: "What is " },
      { type: "text", text: "this?" },
    ];
    expect(keyOf({ messages: [{ role: "user", content: parts }] })).toBe(
      keyOf({ messages: [{ role: "user", content: "What is this?" }] }),
    );
  });

  it("does not depend on other fields of the request", () => {
    const messages = [system, { role: "user", content: "Hi" }];
    expect(keyOf({ model: "m", temperature: 0.5, stream: true, messages })).toBe(keyOf({ messages }));
  });

  it("reads prompts of every kind of /v1/completions", () => {
    expect(keyOf({ prompt: ["one", "two"] })).toBe(keyOf({ prompt: "one" }));
    expect(keyOf({ prompt: [1, 2, 3] })).not.toBe(keyOf({ prompt: [1, 2, 4] }));
    expect(keyOf({ prompt: `${document}a` })).toBe(keyOf({ prompt: `${document}b` }));
  });

  it("cuts a prefix of multi-byte text to the bound", () => {
    const bytes = new TextEncoder().encode(JSON.stringify({ prompt: "界".repeat(1000) }));
    expect(routingKey("/v1/completions", bytes, PREFIX_BYTES).length).toBe("prompt\n".length + PREFIX_BYTES);
  });

  it("falls back to the path for what has no prompt or is no JSON object", () => {
    const byPath = keyOf("not json");
    for (const body of ["", "[]", "null", '{"messages":[]}', '{"messages":[null]}', '{"prompt":[]}', '{"prompt":{}}']) {
      expect(keyOf(body)).toBe(byPath);
    }
    expect(keyOf("not json", "/v1/completions")).not.toBe(byPath);
    expect(routingKey("/v1/models", null, PREFIX_BYTES)).toEqual(new TextEncoder().encode("path\n/v1/models"));
  });
});
