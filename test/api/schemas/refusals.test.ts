import { describe, expect, it } from "vitest";
import { chatRequest } from "../../../src/api/schemas/chat-request.js";
import { completionRequest } from "../../../src/api/schemas/completion-request.js";
import { messagesRequest } from "../../../src/api/schemas/messages-request.js";
import { detokenizeRequest, tokenizeRequest } from "../../../src/api/schemas/tokenize-request.js";
import { parseWith } from "../../../src/api/validation.js";
import { CallerError } from "../../../src/errors.js";

const user = { role: "user", content: "hi" };
const chat = { messages: [user] };
const text = { prompt: "hi" };

/** Both completion endpoints refuse these: what is added to a good body, and the field that must be named. */
const SHARED: [object, string][] = [
  [{ model: 5 }, "model"],
  [{ model: "" }, "model"],
  [{ max_tokens: 0 }, "max_tokens"],
  [{ max_tokens: -1 }, "max_tokens"],
  [{ max_tokens: 1.5 }, "max_tokens"],
  [{ max_tokens: "10" }, "max_tokens"],
  [{ temperature: -0.1 }, "temperature"],
  [{ temperature: 2.1 }, "temperature"],
  [{ temperature: "1" }, "temperature"],
  [{ temperature: Number.NaN }, "temperature"],
  [{ top_p: 0 }, "top_p"],
  [{ top_p: 1.01 }, "top_p"],
  [{ top_k: -2 }, "top_k"],
  [{ top_k: 2.5 }, "top_k"],
  [{ min_p: -0.1 }, "min_p"],
  [{ min_p: 1.1 }, "min_p"],
  [{ seed: 0.5 }, "seed"],
  [{ seed: "1" }, "seed"],
  [{ seed: 2 ** 60 }, "seed"],
  [{ stop: "" }, "stop"],
  [{ stop: 7 }, "stop"],
  [{ stop: ["a", "b", "c", "d", "e"] }, "stop"],
  [{ stop: ["a", ""] }, "stop.1"],
  [{ stop: ["a", 3] }, "stop.1"],
  [{ stop: "x".repeat(1025) }, "stop"],
  [{ stream: "true" }, "stream"],
  [{ stream: 1 }, "stream"],
  [{ stream_options: { include_usage: true } }, "stream_options"],
  [{ stream: false, stream_options: {} }, "stream_options"],
  [{ stream: true, stream_options: { include_usage: "yes" } }, "stream_options.include_usage"],
  [{ stream: true, stream_options: { usage: true } }, "stream_options.usage"],
  [{ wavekv: true }, "wavekv"],
  [{ wavekv: { attention: "sparse" } }, "wavekv.attention"],
  [{ wavekv: { retrieval_budget: 1.1 } }, "wavekv.retrieval_budget"],
  [{ wavekv: { retrieval_budget: -0.1 } }, "wavekv.retrieval_budget"],
  [{ wavekv: { retrieval_budget: "5%" } }, "wavekv.retrieval_budget"],
  [{ wavekv: { report: 1 } }, "wavekv.report"],
  [{ wavekv: { min_mass: 0.95 } }, "wavekv.min_mass"],
  [{ wavekv: { context: "id" } }, "wavekv.context"],
  [{ wavekv: { budget: 0.1 } }, "wavekv.budget"],
  [{ n: 0 }, "n"],
  [{ n: 129 }, "n"],
  [{ n: 1.5 }, "n"],
  [{ logit_bias: { 5: -101 } }, "logit_bias.5"],
  [{ logit_bias: { word: 1 } }, "logit_bias.word"],
  [{ logit_bias: { 5: "1" } }, "logit_bias.5"],
  [{ logit_bias: [[5, true]] }, "logit_bias.0.1"],
  [{ logit_bias: 5 }, "logit_bias"],
  [{ frequency_penalty: 2.1 }, "frequency_penalty"],
  [{ presence_penalty: -2.1 }, "presence_penalty"],
  [{ repeat_penalty: 0 }, "repeat_penalty"],
  [{ repeat_penalty: "1.1" }, "repeat_penalty"],
  [{ repeat_last_n: -2 }, "repeat_last_n"],
  [{ return_progress: "yes" }, "return_progress"],
  [{ temprature: 1 }, "temprature"],
];

const CHAT: [object, string][] = [
  [{ messages: undefined }, "messages"],
  [{ messages: [] }, "messages"],
  [{ messages: "hi" }, "messages"],
  [{ messages: ["hi"] }, "messages.0"],
  [{ messages: [user, { role: "robot", content: "x" }] }, "messages.1.role"],
  [{ messages: [{ role: "tool", content: "x" }] }, "messages.0.tool_call_id"],
  [{ messages: [{ role: "user", content: "x", tool_call_id: "1" }] }, "messages.0.tool_call_id"],
  [{ messages: [{ role: "assistant" }] }, "messages.0.content"],
  [{ messages: [{ role: "assistant", content: null, tool_calls: [] }] }, "messages.0.content"],
  [{ messages: [{ role: "user" }] }, "messages.0.content"],
  [{ messages: [{ role: "user", content: null }] }, "messages.0.content"],
  [{ messages: [{ role: "user", content: 5 }] }, "messages.0.content"],
  [{ messages: [{ role: "user", content: [] }] }, "messages.0.content"],
  [
    { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] },
    "messages.0.content.0.type",
  ],
  [
    { messages: [{ role: "user", content: [{ type: "text", text: "a" }, { type: "text" }] }] },
    "messages.0.content.1.text",
  ],
  [{ messages: [{ ...user, extra: 1 }] }, "messages.0.extra"],
  [{ messages: [{ role: "assistant", content: "x", tool_calls: [{ id: "1" }] }] }, "messages.0.tool_calls.0.type"],
  [{ max_completion_tokens: 0 }, "max_completion_tokens"],
  [{ max_tokens: 5, max_completion_tokens: 5 }, "max_tokens"],
  [{ tools: [{ type: "function" }] }, "tools.0.function"],
  [{ tools: [{ type: "web_search" }] }, "tools.0.type"],
  [{ tools: [{ type: "function", function: { name: "a b" } }] }, "tools.0.function.name"],
  [{ tools: [{ type: "function", function: { name: "f", parameters: "x" } }] }, "tools.0.function.parameters"],
  [{ tools: [{ type: "function", function: { name: "f" } }], logprobs: true }, "logprobs"],
  [{ tool_choice: "always" }, "tool_choice"],
  [{ tool_choice: { type: "function", function: {} } }, "tool_choice.function.name"],
  [{ functions: [{ name: "f" }] }, "functions"],
  [{ logprobs: 5 }, "logprobs"],
  [{ top_logprobs: 5 }, "top_logprobs"],
  [{ logprobs: false, top_logprobs: 5 }, "top_logprobs"],
  [{ logprobs: true, top_logprobs: 21 }, "top_logprobs"],
  [{ response_format: { type: "xml" } }, "response_format.type"],
  [{ response_format: { type: "json_schema" } }, "response_format.json_schema"],
  [{ response_format: { type: "json_schema", json_schema: {} } }, "response_format.json_schema.schema"],
  [
    { response_format: { type: "json_object" }, tools: [{ type: "function", function: { name: "f" } }] },
    "response_format",
  ],
  [{ modalities: ["text", "audio"] }, "modalities"],
  [{ audio: { voice: "x" } }, "audio"],
  [{ prediction: { type: "content" } }, "prediction"],
  [{ reasoning_effort: "high" }, "reasoning_effort"],
  [{ web_search_options: {} }, "web_search_options"],
  [{ prompt: "hi" }, "prompt"],
];

const TEXT: [object, string][] = [
  [{ prompt: undefined }, "prompt"],
  [{ prompt: null }, "prompt"],
  [{ prompt: [] }, "prompt"],
  [{ prompt: [1, -2] }, "prompt.1"],
  [{ prompt: [1, 2.5] }, "prompt.1"],
  [{ prompt: ["a", 5] }, "prompt"],
  [{ prompt: [[1], []] }, "prompt"],
  [{ suffix: "after" }, "suffix"],
  [{ echo: "yes" }, "echo"],
  [{ echo: true, logprobs: 1 }, "logprobs"],
  [{ best_of: 2 }, "best_of"],
  [{ best_of: 2, n: 1 }, "best_of"],
  [{ logprobs: true }, "logprobs"],
  [{ logprobs: 21 }, "logprobs"],
  [{ logprobs: -1 }, "logprobs"],
  [{ messages: [user] }, "messages"],
];

function paramOf(schema: Parameters<typeof parseWith>[0], body: unknown): string | null {
  try {
    parseWith(schema, body);
  } catch (error) {
    if (!(error instanceof CallerError)) throw error;
    expect(error.status).toBe(400);
    // The first segment at least must be in the message that people read.
    if (error.param) expect(error.message).toContain(`'${error.param}'`);
    return error.param;
  }
  throw new Error(`accepted: ${JSON.stringify(body)}`);
}

describe("a chat request", () => {
  it.each([...SHARED, ...CHAT])("with %j is refused at %s", (fields, param) => {
    expect(paramOf(chatRequest, { ...chat, ...fields })?.replace(/^prompt\.0.*/, "prompt")).toBe(param);
  });
});

describe("a completion request", () => {
  it.each([...SHARED, ...TEXT])("with %j is refused at %s", (fields, param) => {
    // Of nested lists any element may be named.
    const named = paramOf(completionRequest, { ...text, ...fields });
    expect(["prompt.0", "prompt.1"].includes(named ?? "") && param === "prompt" ? "prompt" : named).toBe(param);
  });
});

const MESSAGES: [object, string][] = [
  [{ max_tokens: undefined }, "max_tokens"],
  [{ max_tokens: 0 }, "max_tokens"],
  [{ messages: [] }, "messages"],
  [{ messages: [{ role: "system", content: "x" }] }, "messages.0.role"],
  [{ messages: [{ role: "user", content: 5 }] }, "messages.0.content"],
  [{ messages: [{ role: "user", content: [{ type: "document" }] }] }, "messages.0.content.0.type"],
  [{ messages: [{ role: "user", content: [{ type: "text" }] }] }, "messages.0.content.0.text"],
  [
    { messages: [{ role: "assistant", content: [{ type: "tool_use", id: "1", name: "f" }] }] },
    "messages.0.content.0.input",
  ],
  [{ system: 5 }, "system"],
  [{ system: [{ type: "image" }] }, "system.0.type"],
  [{ temperature: 3 }, "temperature"],
  [{ top_k: -1 }, "top_k"],
  [{ stop_sequences: "x" }, "stop_sequences"],
  [{ stop_sequences: [""] }, "stop_sequences.0"],
  [{ stream: "yes" }, "stream"],
  [{ thinking: { type: "enabled", budget_tokens: 1024 } }, "thinking"],
  [{ tools: [{ name: "f" }] }, "tools.0.input_schema"],
  [{ tools: [{ type: "bash_20250124", name: "bash", input_schema: {} }] }, "tools.0.type"],
  [{ tool_choice: "auto" }, "tool_choice"],
  [{ tool_choice: { type: "tool" } }, "tool_choice.name"],
  [{ mcp_servers: [{ url: "x" }] }, "mcp_servers"],
  [{ stop: "x" }, "stop"],
];

describe("a Messages request", () => {
  it.each(MESSAGES)("with %j is refused at %s", (fields, param) => {
    expect(paramOf(messagesRequest, { ...chat, max_tokens: 5, ...fields })).toBe(param);
  });

  it("is accepted with what clients commonly send", () => {
    const fields = {
      metadata: { user_id: "u" },
      service_tier: "auto",
      thinking: { type: "disabled" },
      tools: [],
      stream: true,
    };
    const system = [{ type: "text", text: "s", cache_control: { type: "ephemeral" } }];
    expect(() => parseWith(messagesRequest, { ...chat, max_tokens: 5, system, ...fields })).not.toThrow();
  });
});

describe("other bodies", () => {
  it.each([null, 5, "text", [], true])("%j is refused as a whole", (body) => {
    for (const schema of [chatRequest, completionRequest, tokenizeRequest, detokenizeRequest]) {
      expect(paramOf(schema, body)).toBeNull();
    }
  });

  it.each([
    [tokenizeRequest, {}, "content"],
    [tokenizeRequest, { content: 5 }, "content"],
    [tokenizeRequest, { content: "a", add_special: "yes" }, "add_special"],
    [tokenizeRequest, { content: "a", pieces: true }, "pieces"],
    [detokenizeRequest, {}, "tokens"],
    [detokenizeRequest, { tokens: "1" }, "tokens"],
    [detokenizeRequest, { tokens: [1, "2"] }, "tokens.1"],
    [detokenizeRequest, { tokens: [-1] }, "tokens.0"],
  ])("%#: %j", (schema, body, param) => {
    expect(paramOf(schema, body)).toBe(param);
  });
});

describe("what clients commonly send", () => {
  it.each([
    { user: "u1", metadata: { a: "b" }, store: false, service_tier: "auto", safety_identifier: "s" },
    { prompt_cache_key: "k", prompt_cache_retention: "24h", parallel_tool_calls: true, cache_prompt: true },
    { n: 1, logit_bias: {}, frequency_penalty: 0, presence_penalty: 0, logprobs: false, top_logprobs: 0 },
    { tools: [], tool_choice: "auto", functions: [], function_call: "none", response_format: { type: "text" } },
    { modalities: ["text"], reasoning_effort: "none" },
    { max_tokens: null, temperature: null, top_p: null, stop: null, seed: null, stream: null, stream_options: null },
    { n: null, tools: null, response_format: null, wavekv: null, logit_bias: null },
    { stream: true, stream_options: { include_usage: true, include_obfuscation: false } },
    { stop: [], seed: -5, top_k: -1, wavekv: {} },
    { n: 3, logit_bias: { 5: -100, "17": 2.5 }, presence_penalty: -2, frequency_penalty: 2, repeat_penalty: 1.1 },
    {
      logit_bias: [
        [5, false],
        [6, 1.5],
      ],
      repeat_last_n: -1,
      return_progress: true,
      logprobs: true,
      top_logprobs: 20,
    },
    { wavekv: { attention: "full", retrieval_budget: 0.05, report: true, min_mass: null } },
    {
      messages: [
        { role: "developer", content: "d" },
        { role: "user", content: [{ type: "text", text: "t" }], name: "n" },
      ],
    },
    {
      messages: [
        { role: "assistant", content: "x", refusal: null, tool_calls: null, audio: null, annotations: [] },
        user,
      ],
    },
  ])("is accepted: %j", (fields) => {
    expect(() => parseWith(chatRequest, { ...chat, ...fields })).not.toThrow();
  });

  it.each(["text", "", [1, 2, 3], ["one"], ["one", "two"], [[1], [2, 3]]].map((prompt) => [prompt]))(
    "prompt %j is accepted",
    (prompt) => {
      const parsed = parseWith(completionRequest, { prompt, echo: false, suffix: null, best_of: 1, logprobs: null });
      expect(parsed.prompt).toEqual(prompt);
    },
  );
});
