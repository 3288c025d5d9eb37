/** POST /v1/completions */

import type { Context } from "hono";
import { answer } from "./answer.js";
import type { ApiContext, ApiEnv } from "./api-context.js";
import type { Choice } from "./choice-result.js";
import { textPresenter } from "./completion-presenter.js";
import { readJson } from "./json-body.js";
import type { ReadyNode } from "./node-state.js";
import { checkTokenIds, encodePrompt } from "./prompt-tokens.js";
import { buildChoices, buildTextRequest, requireModel } from "./request-options.js";
import { type CompletionRequest, completionRequest } from "./schemas/completion-request.js";

export function completions(api: ApiContext) {
  return async (c: Context<ApiEnv>): Promise<Response> => {
    const node = api.state.require();
    const body = await readJson(c, completionRequest);
    requireModel(node, body.model);
    const choices = promptList(body.prompt).flatMap(({ prompt, param }) => promptChoices(node, body, prompt, param));
    const presenter = textPresenter({
      id: (choices[0] as Choice).request.requestId,
      model: node.model.id,
      tokenizer: node.tokenizer,
      choices,
      wantsLogprobs: typeof body.logprobs === "number",
      includeUsage: body.stream_options?.include_usage === true,
      returnProgress: body.return_progress === true,
      report: body.wavekv?.report === true,
    });
    return answer(c, api, node, choices, { presenter, stream: body.stream === true });
  };
}

/** The `n` choices of one prompt. */
function promptChoices(node: ReadyNode, body: CompletionRequest, prompt: Prompt, param: string): Choice[] {
  const promptTokens = encode(node, prompt, param);
  const request = buildTextRequest(node, {
    idPrefix: "cmpl",
    fields: body,
    promptTokens,
    promptParam: param,
    maxTokens: body.max_tokens ?? null,
    maxTokensParam: "max_tokens",
    topLogprobs: body.logprobs ?? undefined,
  });
  const echoed = typeof prompt === "string" ? prompt : node.tokenizer.decode(promptTokens);
  return buildChoices(request, body.n ?? 1, body.echo === true ? echoed : "");
}

type Prompt = string | number[];

/** The prompts of a request, each with the field's name for an error. */
function promptList(prompt: CompletionRequest["prompt"]): { prompt: Prompt; param: string }[] {
  if (typeof prompt === "string" || typeof prompt[0] === "number")
    return [{ prompt: prompt as Prompt, param: "prompt" }];
  const prompts = prompt as Prompt[];
  if (prompts.length === 1) return [{ prompt: prompts[0] as Prompt, param: "prompt" }];
  return prompts.map((one, index) => ({ prompt: one, param: `prompt.${index}` }));
}

/** Text is encoded with its special tokens; ids are taken as they are, within the vocabulary. */
function encode(node: ReadyNode, prompt: Prompt, param: string): Int32Array {
  if (typeof prompt === "string") return encodePrompt(node, prompt, { param, addSpecial: true });
  return checkTokenIds(node.tokenizer, prompt, param);
}
