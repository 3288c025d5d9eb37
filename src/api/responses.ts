/** POST /v1/responses */

import type { Context } from "hono";
import type { TextConstraint } from "../engine/types.js";
import type { ChatMessage } from "../text/types.js";
import { answer } from "./answer.js";
import type { ApiContext, ApiEnv } from "./api-context.js";
import { chatPromptText, chatPromptTokens } from "./chat-prompt.js";
import { jsonObject, jsonOf } from "./constraints.js";
import { readJson } from "./json-body.js";
import type { ReadyNode } from "./node-state.js";
import { buildChoices, buildTextRequest, requireModel } from "./request-options.js";
import { ResponsesPresenter } from "./responses-presenter.js";
import { type ResponsesRequest, responsesRequest } from "./schemas/responses-request.js";
import { type FunctionTool, type ToolChoice, templateCall, toolUse } from "./tools.js";

export function responses(api: ApiContext) {
  return async (c: Context<ApiEnv>): Promise<Response> => {
    const node = api.state.require();
    const body = await readJson(c, responsesRequest);
    requireModel(node, body.model);
    const tools = toolUse(node, functionTools(body), toolChoice(body), "call_");
    const prompt = chatPromptText(node, conversation(body), tools.templateTools) + tools.begun;
    const request = buildTextRequest(node, {
      idPrefix: "resp",
      fields: { temperature: body.temperature, top_p: body.top_p, wavekv: body.wavekv },
      promptTokens: chatPromptTokens(node, prompt),
      promptParam: "input",
      constraint: tools.constraint ?? answerForm(node, body),
      maxTokens: body.max_output_tokens ?? null,
      maxTokensParam: "max_output_tokens",
    });
    const presenter = new ResponsesPresenter(request.requestId.replace("-", "_"), node.model.id, body);
    const stream = body.stream === true;
    return answer(c, api, node, buildChoices(request, 1), { presenter, stream, makeParser: tools.makeParser });
  };
}

function answerForm({ tokenizer }: ReadyNode, { text }: ResponsesRequest): TextConstraint | undefined {
  const format = text?.format;
  if (!format || format.type === "text") return undefined;
  return format.type === "json_object" ? jsonObject(tokenizer) : jsonOf(tokenizer, format.schema, "text.format.schema");
}

function conversation({ input, instructions }: ResponsesRequest): ChatMessage[] {
  const system = instructions ? [{ role: "system", content: instructions }] : [];
  if (typeof input === "string") return [...system, { role: "user", content: input }];
  return [...system, ...input.map(toMessage)];
}

type Item = Exclude<ResponsesRequest["input"], string>[number];

function toMessage(item: Item, index: number): ChatMessage {
  if (item.type === "function_call_output") return { role: "tool", content: item.output, tool_call_id: item.call_id };
  if (item.type === "function_call") {
    const call = templateCall(item.call_id, item.name, item.arguments, `input.${index}`);
    return { role: "assistant", content: "", tool_calls: [call] };
  }
  const { role, content } = item;
  return {
    role: role === "developer" ? "system" : role,
    content: typeof content === "string" ? content : content.map(({ text }) => text).join("\n"),
  };
}

function functionTools({ tools }: ResponsesRequest): FunctionTool[] {
  return (tools ?? []).map(({ name, description, parameters }) => ({
    name,
    description: description ?? undefined,
    parameters: parameters ?? undefined,
  }));
}

function toolChoice({ tool_choice }: ResponsesRequest): ToolChoice {
  if (!tool_choice) return { type: "auto" };
  return typeof tool_choice === "string" ? { type: tool_choice } : tool_choice;
}
