/** POST /v1/messages and POST /v1/messages/count_tokens */

import type { Context } from "hono";
import type { ChatMessage } from "../text/types.js";
import { answer } from "./answer.js";
import type { ApiContext, ApiEnv } from "./api-context.js";
import { chatPromptText, chatPromptTokens } from "./chat-prompt.js";
import { readJson } from "./json-body.js";
import { MessagesPresenter } from "./messages-presenter.js";
import type { ReadyNode } from "./node-state.js";
import { buildChoices, buildTextRequest, requireModel } from "./request-options.js";
import { type CountTokensRequest, countTokensRequest, messagesRequest } from "./schemas/messages-request.js";
import { type ToolChoice, type ToolUse, toolUse } from "./tools.js";

export function messages(api: ApiContext) {
  return async (c: Context<ApiEnv>): Promise<Response> => {
    const node = api.state.require();
    const body = await readJson(c, messagesRequest);
    const { promptTokens, tools } = messagesPrompt(node, body);
    const { stop_sequences, ...fields } = body;
    const request = buildTextRequest(node, {
      idPrefix: "msg",
      fields: { ...fields, stop: stop_sequences },
      promptTokens,
      promptParam: "messages",
      constraint: tools.constraint,
      maxTokens: body.max_tokens,
      maxTokensParam: "max_tokens",
    });
    const presenter = new MessagesPresenter({
      id: request.requestId.replace("-", "_"),
      model: node.model.id,
      requestId: c.var.record.id,
      report: body.wavekv?.report === true,
      numPrompt: promptTokens.length,
    });
    const stream = body.stream === true;
    return answer(c, api, node, buildChoices(request, 1), { presenter, stream, makeParser: tools.makeParser });
  };
}

export function countTokens(api: ApiContext) {
  return async (c: Context<ApiEnv>) => {
    const node = api.state.require();
    const { promptTokens } = messagesPrompt(node, await readJson(c, countTokensRequest));
    return c.json({ input_tokens: promptTokens.length });
  };
}

function messagesPrompt(node: ReadyNode, body: CountTokensRequest): { promptTokens: Int32Array; tools: ToolUse } {
  requireModel(node, body.model);
  const described = (body.tools ?? []).map(({ name, description, input_schema }) => ({
    name,
    description: description ?? undefined,
    parameters: input_schema,
  }));
  const tools = toolUse(node, described, toolChoice(body), "toolu_");
  const system = body.system ? [{ role: "system", content: blockText(body.system) }] : [];
  const conversation = [...system, ...body.messages.flatMap(toChatMessages)];
  const text = chatPromptText(node, conversation, tools.templateTools) + tools.begun;
  return { promptTokens: chatPromptTokens(node, text), tools };
}

function toolChoice({ tool_choice }: CountTokensRequest): ToolChoice {
  if (!tool_choice) return { type: "auto" };
  if (tool_choice.type === "tool") return { type: "function", name: tool_choice.name };
  return { type: tool_choice.type === "any" ? "required" : tool_choice.type };
}

type BodyMessage = CountTokensRequest["messages"][number];

/** Results of tools are messages of their own in chat templates, and come before the user's text. */
function toChatMessages({ role, content }: BodyMessage): ChatMessage[] {
  if (typeof content === "string") return [{ role, content }];
  const results: ChatMessage[] = [];
  const texts: string[] = [];
  const calls: NonNullable<ChatMessage["tool_calls"]>[number][] = [];
  for (const block of content) {
    if (block.type === "text") texts.push(block.text);
    else if (block.type === "tool_use") {
      calls.push({ id: block.id, type: "function", function: { name: block.name, arguments: block.input } });
    } else {
      const text = blockText(block.content ?? "");
      const isError = block.is_error === true;
      results.push({ role: "tool", content: isError ? `Error: ${text}` : text, tool_call_id: block.tool_use_id });
    }
  }
  if (texts.length === 0 && calls.length === 0) return results;
  return [...results, { role, content: texts.join("\n"), ...(calls.length > 0 && { tool_calls: calls }) }];
}

function blockText(content: string | { text: string }[]): string {
  return typeof content === "string" ? content : content.map(({ text }) => text).join("\n");
}
