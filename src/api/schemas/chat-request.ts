/** Body of POST /v1/chat/completions. */

import { z } from "@hono/zod-openapi";
import {
  equals,
  generationFields,
  ignored,
  isEmpty,
  MAX_TOP_LOGPROBS,
  STREAM_OPTIONS_REFUSAL,
  streamOptionsNeedStream,
  unsupported,
} from "./generation-fields.js";
import { responseFormat } from "./response-format.js";
import { chatToolChoice, chatTools, sentToolCall } from "./tool-fields.js";

const textPart = z.strictObject({
  type: z.literal("text", { error: "only parts of type 'text' are supported" }),
  text: z.string(),
});

const content = z.union([z.string(), z.array(textPart).min(1)], {
  error: "expected a string, or a list of text parts",
});

const shared = {
  name: z.string().max(256).nullish(),
  // A client that sends an earlier answer back sends these with it.
  refusal: ignored(),
  annotations: ignored(),
  audio: unsupported(),
  function_call: unsupported(),
};

const plainMessage = z.strictObject({
  ...shared,
  role: z.enum(["system", "developer", "user"]),
  content,
  tool_calls: unsupported(isEmpty),
});

const assistantMessage = z
  .strictObject({
    ...shared,
    role: z.literal("assistant"),
    content: content.nullish(),
    tool_calls: z.array(sentToolCall).nullish(),
  })
  .refine((message) => isSet(message.content) || (message.tool_calls ?? []).length > 0, {
    path: ["content"],
    error: "expected text, unless there are 'tool_calls'",
  });

const toolMessage = z.strictObject({ ...shared, role: z.literal("tool"), content, tool_call_id: z.string().max(256) });

const message = z.discriminatedUnion("role", [plainMessage, assistantMessage, toolMessage], {
  error: "expected a message whose role is system, developer, user, assistant or tool",
});

const isTextOnly = (value: unknown): boolean => Array.isArray(value) && value.length === 1 && value[0] === "text";

export const chatRequest = z
  .strictObject({
    ...generationFields,
    messages: z.array(message).min(1).max(100_000),
    max_completion_tokens: z.int().min(1).nullish(),
    logprobs: z.boolean().nullish(),
    top_logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).nullish(),

    metadata: ignored(),
    store: ignored(),
    service_tier: ignored(),
    safety_identifier: ignored(),
    prompt_cache_key: ignored(),
    prompt_cache_retention: ignored(),
    parallel_tool_calls: ignored(),

    tools: chatTools.nullish(),
    tool_choice: chatToolChoice.nullish(),
    functions: unsupported(isEmpty),
    function_call: unsupported(equals("none")),
    response_format: responseFormat.nullish(),
    modalities: unsupported(isTextOnly),
    audio: unsupported(),
    prediction: unsupported(),
    reasoning_effort: unsupported(equals("none")),
    verbosity: unsupported(equals("medium")),
    web_search_options: unsupported(),
  })
  .refine(streamOptionsNeedStream, STREAM_OPTIONS_REFUSAL)
  .refine((body) => !(isSet(body.max_tokens) && isSet(body.max_completion_tokens)), {
    path: ["max_tokens"],
    error: "give either 'max_tokens' or 'max_completion_tokens'",
  })
  .refine((body) => !body.top_logprobs || body.logprobs === true, {
    path: ["top_logprobs"],
    error: "it is only allowed together with 'logprobs': true",
  })
  .refine((body) => !(body.logprobs === true && (body.tools ?? []).length > 0), {
    path: ["logprobs"],
    error: "it is not supported together with 'tools'",
  })
  .refine((body) => (body.response_format?.type ?? "text") === "text" || (body.tools ?? []).length === 0, {
    path: ["response_format"],
    error: "it is not supported together with 'tools'",
  })
  .openapi("ChatCompletionRequest");

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}

export type ChatRequest = z.output<typeof chatRequest>;
