/** POST /v1/chat/completions */

import type { Context } from "hono";
import type { TextConstraint } from "../engine/types.js";
import type { ChatMessage } from "../text/types.js";
import { answer } from "./answer.js";
import type { ApiContext, ApiEnv } from "./api-context.js";
import { chatPromptText, chatPromptTokens } from "./chat-prompt.js";
import { chatPresenter } from "./completion-presenter.js";
import { jsonObject, jsonOf } from "./constraints.js";
import { readJson } from "./json-body.js";
import type { ReadyNode } from "./node-state.js";
import { buildChoices, buildTextRequest, requireModel } from "./request-options.js";
import { type ChatRequest, chatRequest } from "./schemas/chat-request.js";
import { type FunctionTool, type ToolChoice, templateCall, toolUse } from "./tools.js";

export function chatCompletions(api: ApiContext) {
  return async (c: Context<ApiEnv>): Promise<Response> => {
    const node = api.state.require();
    const body = await readJson(c, chatRequest);
    requireModel(node, body.model);
    const tools = toolUse(node, functionTools(body), toolChoice(body), "call_");
    const prompt = chatPromptText(node, body.messages.map(toMessage), tools.templateTools) + tools.begun;
    const request = buildTextRequest(node, {
      idPrefix: "chatcmpl",
      fields: body,
      promptTokens: chatPromptTokens(node, prompt),
      promptParam: "messages",
      maxTokens: body.max_completion_tokens ?? body.max_tokens ?? null,
      maxTokensParam: typeof body.max_completion_tokens === "number" ? "max_completion_tokens" : "max_tokens",
      constraint: tools.constraint ?? answerForm(node, body),
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
    return answer(c, api, node, choices, { presenter, stream: body.stream === true, makeParser: tools.makeParser });
  };
}

type BodyMessage = ChatRequest["messages"][number];

/** Parts are joined line by line; `developer` is the newer name of `system`. */
function toMessage(message: BodyMessage, index: number): ChatMessage {
  const { role, content, name } = message;
  const text = typeof content === "string" ? content : (content ?? []).map((part) => part.text).join("\n");
  return {
    role: role === "developer" ? "system" : role,
    content: text,
    ...(typeof name === "string" && { name }),
    ...(role === "tool" && { tool_call_id: message.tool_call_id }),
    ...(role === "assistant" &&
      message.tool_calls?.length && {
        tool_calls: message.tool_calls.map((call, at) =>
          templateCall(call.id, call.function.name, call.function.arguments, `messages.${index}.tool_calls.${at}`),
        ),
      }),
  };
}

function answerForm({ tokenizer }: ReadyNode, { response_format }: ChatRequest): TextConstraint | undefined {
  if (!response_format || response_format.type === "text") return undefined;
  if (response_format.type === "json_schema") {
    return jsonOf(tokenizer, response_format.json_schema.schema, "response_format.json_schema.schema");
  }
  const { schema } = response_format;
  return schema ? jsonOf(tokenizer, schema, "response_format.schema") : jsonObject(tokenizer);
}

function functionTools({ tools }: ChatRequest): FunctionTool[] {
  return (tools ?? []).map(({ function: { name, description, parameters } }) => ({
    name,
    description: description ?? undefined,
    parameters: parameters ?? undefined,
  }));
}

function toolChoice({ tool_choice }: ChatRequest): ToolChoice {
  if (!tool_choice) return { type: "auto" };
  return typeof tool_choice === "string"
    ? { type: tool_choice }
    : { type: "function", name: tool_choice.function.name };
}
