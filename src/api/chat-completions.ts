/** POST /v1/chat/completions */

import type { Context } from "hono";
import type { ChatMessage } from "../text/types.js";
import { answer } from "./answer.js";
import type { ApiContext, ApiEnv } from "./api-context.js";
import { chatPromptText, chatPromptTokens } from "./chat-prompt.js";
import { chatPresenter } from "./completion-presenter.js";
import { readJson } from "./json-body.js";
import { buildChoices, buildTextRequest, requireModel } from "./request-options.js";
import { type ChatRequest, chatRequest } from "./schemas/chat-request.js";

export function chatCompletions(api: ApiContext) {
  return async (c: Context<ApiEnv>): Promise<Response> => {
    const node = api.state.require();
    const body = await readJson(c, chatRequest);
    requireModel(node, body.model);
    const prompt = chatPromptText(node, body.messages.map(toMessage));
    const request = buildTextRequest(node, {
      idPrefix: "chatcmpl",
      fields: body,
      promptTokens: chatPromptTokens(node, prompt),
      promptParam: "messages",
      maxTokens: body.max_completion_tokens ?? body.max_tokens ?? null,
      maxTokensParam: typeof body.max_completion_tokens === "number" ? "max_completion_tokens" : "max_tokens",
      topLogprobs: body.logprobs === true ? (body.top_logprobs ?? 0) : undefined,
    });
    const choices = buildChoices(request, body.n ?? 1);
    const presenter = chatPresenter({
      id: request.requestId,
      model: node.model.id,
      tokenizer: node.tokenizer,
      choices,
      wantsLogprobs: body.logprobs === true,
      includeUsage: body.stream_options?.include_usage === true,
      returnProgress: body.return_progress === true,
      report: body.wavekv?.report === true,
    });
    return answer(c, api, node, choices, { presenter, stream: body.stream === true });
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
