/** POST /v1/completions */

import type { Context } from "hono";
import { answer } from "./answer.js";
import { textShape } from "./answer-shapes.js";
import type { ApiContext, ApiEnv } from "./api-context.js";
import { readJson } from "./json-body.js";
import type { ReadyNode } from "./node-state.js";
import { checkTokenIds, encodePrompt } from "./prompt-tokens.js";
import { buildTextRequest, requireModel } from "./request-options.js";
import { type CompletionRequest, completionRequest } from "./schemas/completion-request.js";

export function completions(api: ApiContext) {
  return async (c: Context<ApiEnv>): Promise<Response> => {
    const node = api.state.require();
    const body = await readJson(c, completionRequest);
    requireModel(node, body.model);
    const request = buildTextRequest(node, {
      idPrefix: "cmpl",
      fields: body,
      promptTokens: promptTokens(node, body.prompt),
      promptParam: "prompt",
      maxTokens: body.max_tokens ?? null,
      maxTokensParam: "max_tokens",
    });
    return answer(c, api, node, request, {
      shape: textShape,
      stream: body.stream === true,
      includeUsage: body.stream_options?.include_usage === true,
      report: body.wavekv?.report === true,
    });
  };
}

/** Text is encoded with its special tokens; ids are taken as they are, within the vocabulary. */
function promptTokens(node: ReadyNode, prompt: CompletionRequest["prompt"]): Int32Array {
  const first = typeof prompt === "string" ? prompt : prompt[0];
  if (typeof first === "string") return encodePrompt(node, first, { param: "prompt", addSpecial: true });
  return checkTokenIds(node.tokenizer, prompt as number[], "prompt");
}
