/** Describes the endpoints for /openapi.json, from the schemas that requests are parsed with. */

import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { chatRequest } from "./schemas/chat-request.js";
import { completionRequest } from "./schemas/completion-request.js";
import { countTokensRequest, messagesRequest } from "./schemas/messages-request.js";
import { responsesRequest } from "./schemas/responses-request.js";
import { detokenizeRequest, tokenizeRequest } from "./schemas/tokenize-request.js";
import { wavekvResponse } from "./wavekv-report.js";

type PathRegistry = OpenAPIHono["openAPIRegistry"];

export const OPENAPI_INFO = {
  openapi: "3.1.0",
  info: {
    title: "wavekv node",
    version: "0.1.0",
    description:
      "The endpoints of one wavekv node, as OpenAI's and Anthropic's clients know them. Those under /v1 are also answered " +
      "without it. Extension fields sit in the `wavekv` object.",
  },
};

const usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }),
});

const answered = z
  .looseObject({ id: z.string(), choices: z.array(z.looseObject({ index: z.int() })), usage, wavekv: wavekvResponse })
  .openapi("Answer");

const responsesAnswer = z
  .looseObject({ id: z.string(), status: z.string(), output: z.array(z.looseObject({ type: z.string() })) })
  .openapi("Response");

const messagesAnswer = z
  .looseObject({ id: z.string(), content: z.array(z.looseObject({ type: z.string() })), stop_reason: z.string() })
  .openapi("Message");

const model = z
  .object({
    id: z.string(),
    object: z.literal("model"),
    created: z.int(),
    owned_by: z.string(),
    max_model_len: z.int(),
  })
  .openapi("Model");

const refused = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  })
  .openapi("Error");

const piece = z.object({ id: z.int(), piece: z.string() });

export function describePaths(registry: PathRegistry): void {
  post(registry, "/v1/chat/completions", "Answer a conversation", chatRequest, answered);
  post(registry, "/v1/completions", "Continue a prompt", completionRequest, answered);
  post(registry, "/v1/responses", "Answer, in the shape of OpenAI's Responses API", responsesRequest, responsesAnswer);
  post(registry, "/v1/messages", "Answer, in the shape of Anthropic's Messages API", messagesRequest, messagesAnswer);
  post(
    registry,
    "/v1/messages/count_tokens",
    "Tokens of a prompt",
    countTokensRequest,
    z.object({ input_tokens: z.int() }),
  );
  post(
    registry,
    "/tokenize",
    "Text to token ids",
    tokenizeRequest,
    z.object({ tokens: z.array(z.union([z.int(), piece])) }),
  );
  post(registry, "/detokenize", "Token ids to text", detokenizeRequest, z.object({ content: z.string() }));
  get(registry, "/v1/models", "The model that this node serves", z.object({ data: z.array(model) }));
  get(registry, "/v1/models/{id}", "One model", model);
  get(registry, "/health", "503 while the model loads, 200 when ready", z.object({ status: z.string() }));
}

function json(schema: z.ZodType, description: string) {
  return { description, content: { "application/json": { schema } } };
}

function responses(schema: z.ZodType) {
  return { 200: json(schema, "Success"), default: json(refused, "Refused or failed") };
}

function post(registry: PathRegistry, path: string, summary: string, body: z.ZodType, answer: z.ZodType): void {
  const request = { body: { required: true, content: { "application/json": { schema: body } } } };
  registry.registerPath({ method: "post", path, summary, request, responses: responses(answer) });
}

function get(registry: PathRegistry, path: string, summary: string, answer: z.ZodType): void {
  registry.registerPath({ method: "get", path, summary, responses: responses(answer) });
}
