/** Bodies of POST /v1/messages and POST /v1/messages/count_tokens, as Anthropic's API has them. */

import { z } from "@hono/zod-openapi";
import { ignored, isEmpty, unsupported, wavekvRequest } from "./generation-fields.js";
import { functionName, jsonSchema } from "./tool-fields.js";

const MAX_STOP_SEQUENCES = 16;

/** Marks what a client wants cached; here every prompt's beginning is. */
const cacheControl = ignored();

const textBlock = z.strictObject({
  type: z.literal("text"),
  text: z.string(),
  cache_control: cacheControl,
  citations: unsupported(isEmpty),
});

const textContent = z.union([z.string(), z.array(textBlock)], { error: "expected a string, or a list of text blocks" });

const toolUseBlock = z.strictObject({
  type: z.literal("tool_use"),
  id: z.string().min(1).max(256),
  name: functionName,
  input: z.record(z.string(), z.unknown()),
  cache_control: cacheControl,
});

const toolResultBlock = z.strictObject({
  type: z.literal("tool_result"),
  tool_use_id: z.string().min(1).max(256),
  content: textContent.nullish(),
  is_error: z.boolean().nullish(),
  cache_control: cacheControl,
});

const ONLY_BLOCKS = "only blocks of type 'text', 'tool_use' and 'tool_result' are supported";
const userBlock = z.discriminatedUnion("type", [textBlock, toolResultBlock], { error: ONLY_BLOCKS });
const assistantBlock = z.discriminatedUnion("type", [textBlock, toolUseBlock], { error: ONLY_BLOCKS });

const BAD_CONTENT = "expected a string, or a list of content blocks";
const message = z.discriminatedUnion(
  "role",
  [
    z.strictObject({
      role: z.literal("user"),
      content: z.union([z.string(), z.array(userBlock).min(1)], { error: BAD_CONTENT }),
    }),
    z.strictObject({
      role: z.literal("assistant"),
      content: z.union([z.string(), z.array(assistantBlock).min(1)], { error: BAD_CONTENT }),
    }),
  ],
  { error: "expected a message whose role is user or assistant" },
);

const tool = z.strictObject({
  type: z.literal("custom", { error: "only tools of type 'custom' are supported" }).nullish(),
  name: functionName,
  description: z.string().nullish(),
  input_schema: jsonSchema,
  cache_control: cacheControl,
});

const toolChoice = z.discriminatedUnion(
  "type",
  [
    z.strictObject({
      type: z.enum(["auto", "any"]),
      disable_parallel_tool_use: unsupported((value) => value === false),
    }),
    z.strictObject({ type: z.literal("none") }),
    z.strictObject({
      type: z.literal("tool"),
      name: functionName,
      disable_parallel_tool_use: unsupported((value) => value === false),
    }),
  ],
  { error: "expected a type of auto, any, tool or none" },
);

const isDisabled = (value: unknown): boolean => (value as { type?: unknown }).type === "disabled";

const promptFields = {
  model: z.string().min(1).max(512).nullish(),
  messages: z.array(message).min(1).max(100_000),
  system: textContent.nullish(),
  tools: z.array(tool).max(128).nullish(),
  tool_choice: toolChoice.nullish(),
  thinking: unsupported(isDisabled),
};

export const messagesRequest = z
  .strictObject({
    ...promptFields,
    max_tokens: z.int().min(1),
    temperature: z.number().min(0).max(2).nullish(),
    top_p: z.number().gt(0).max(1).nullish(),
    top_k: z.int().min(0).max(1_000_000).nullish(),
    stop_sequences: z.array(z.string().min(1).max(1024)).max(MAX_STOP_SEQUENCES).nullish(),
    stream: z.boolean().nullish(),
    wavekv: wavekvRequest.nullish(),
    metadata: ignored(),
    service_tier: ignored(),
    container: unsupported(),
    mcp_servers: unsupported(isEmpty),
  })
  .openapi("MessagesRequest");

export const countTokensRequest = z.strictObject(promptFields).openapi("CountTokensRequest");

export type MessagesRequest = z.output<typeof messagesRequest>;
export type CountTokensRequest = z.output<typeof countTokensRequest>;
