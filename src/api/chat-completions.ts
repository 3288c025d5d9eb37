/** POST /v1/chat/completions */

import type { Context } from "hono";
import type { ChatMessage } from "../text/types.js";
import { answer } from "./answer.js";
import { chatShape } from "./answer-shapes.js";
import type { ApiContext, ApiEnv } from "./api-context.js";
import { readJson } from "./json-body.js";
import { encodePrompt } from "./prompt-tokens.js";
import { buildTextRequest, requireModel } from "./request-options.js";
import { type ChatRequest, chatRequest } from "./schemas/chat-request.js";

export function chatCompletions(api: ApiContext) {
  return async (c: Context<ApiEnv>): Promise<Response> => {
    const node = api.state.require();
    const body = await readJson(c, chatRequest);
    requireModel(node, body.model);
    const prompt = node.chatTemplate.render(body.messages.map(toMessage), { addGenerationPrompt: true });
    const request = buildTextRequest(node, {
      idPrefix: "chatcmpl",
      fields: body,
      // The template writes the model's own BOS and turn marks, as text.
      promptTokens: encodePrompt(node, prompt, { param: "messages", addSpecial: false }),
      promptParam: "messages",
      maxTokens: body.max_completion_tokens ?? body.max_tokens ?? null,
      maxTokensParam: typeof body.max_completion_tokens === "number" ? "max_completion_tokens" : "max_tokens",
    });
    return answer(c, api, node, request, {
      shape: chatShape,
      stream: body.stream === true,
      includeUsage: body.stream_options?.include_usage === true,
      report: body.wavekv?.report === true,
    });
  };
}

type BodyMessage = ChatRequest["messages"][number];

/** Parts are joined line by line; `developer` is the newer name of `system`. */
function toMessage({ role, content, name }: BodyMessage): ChatMessage {
  return {
    role: role === "developer" ? "system" : role,
    content: typeof content === "string" ? content : content.map((part) => part.text).join("\n"),
    ...(typeof name === "string" && { name }),
  };
}
