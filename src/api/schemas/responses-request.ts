/** Body of POST /v1/responses. The node keeps no responses: each request carries its whole conversation. */

import { z } from "@hono/zod-openapi";
import { equals, ignored, isEmpty, isFalse, unsupported, wavekvRequest } from "./generation-fields.js";
import { textFormat } from "./response-format.js";
import { functionName, jsonSchema } from "./tool-fields.js";

const part = z.strictObject({
  type: z.enum(["input_text", "output_text", "text"], { error: "only parts of text are supported" }),
  text: z.string(),
  annotations: ignored(),
  logprobs: ignored(),
});

const message = z.strictObject({
  type: z.literal("message").nullish(),
  role: z.enum(["user", "assistant", "system", "developer"]),
  content: z.union([z.string(), z.array(part).min(1)], { error: "expected a string, or a list of text parts" }),
  id: ignored(),
  status: ignored(),
});

const functionCall = z.strictObject({
  type: z.literal("function_call"),
  call_id: z.string().min(1).max(256),
  name: functionName,
  arguments: z.string(),
  id: ignored(),
  status: ignored(),
});

const functionCallOutput = z.strictObject({
  type: z.literal("function_call_output"),
  call_id: z.string().min(1).max(256),
  output: z.string(),
  id: ignored(),
  status: ignored(),
});

const item = z.union([message, functionCall, functionCallOutput], {
  error: "expected a message, a function_call or a function_call_output",
});

const tool = z.strictObject({
  type: z.literal("function", { error: "only tools of type 'function' are supported" }),
  name: functionName,
  description: z.string().nullish(),
  parameters: jsonSchema.nullish(),
  strict: unsupported(isFalse),
});

const textOptions = z.strictObject({
  format: textFormat.nullish(),
  verbosity: unsupported(equals("medium")),
});

export const responsesRequest = z
  .strictObject({
    model: z.string().min(1).max(512).nullish(),
    input: z.union([z.string(), z.array(item).min(1).max(100_000)], { error: "expected a string, or a list of items" }),
    instructions: z.string().nullish(),
    max_output_tokens: z.int().min(1).nullish(),
    temperature: z.number().min(0).max(2).nullish(),
    top_p: z.number().gt(0).max(1).nullish(),
    stream: z.boolean().nullish(),
    tools: z.array(tool).max(128).nullish(),
    tool_choice: z
      .union(
        [z.enum(["none", "auto", "required"]), z.strictObject({ type: z.literal("function"), name: functionName })],
        {
          error: "expected 'none', 'auto', 'required', or a function by name",
        },
      )
      .nullish(),
    text: textOptions.nullish(),
    metadata: z.record(z.string(), z.string()).nullish(),
    wavekv: wavekvRequest.nullish(),

    user: ignored(),
    // Nothing is stored, whatever is asked for; the answer says so.
    store: ignored(),
    service_tier: ignored(),
    safety_identifier: ignored(),
    prompt_cache_key: ignored(),
    prompt_cache_retention: ignored(),
    parallel_tool_calls: ignored(),
    stream_options: ignored(),

    previous_response_id: unsupported(),
    conversation: unsupported(),
    prompt: unsupported(),
    background: unsupported(isFalse),
    include: unsupported(isEmpty),
    max_tool_calls: unsupported(),
    reasoning: unsupported(isEmpty),
    top_logprobs: unsupported(equals(0)),
    truncation: unsupported(equals("disabled")),
  })
  .refine((body) => (body.text?.format?.type ?? "text") === "text" || (body.tools ?? []).length === 0, {
    path: ["text", "format"],
    error: "it is not supported together with 'tools'",
  })
  .openapi("ResponsesRequest");

export type ResponsesRequest = z.output<typeof responsesRequest>;
