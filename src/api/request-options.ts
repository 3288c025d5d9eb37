/** From a parsed body to the engine's request: defaults, and the room that the context has. */

import { randomInt, randomUUID } from "node:crypto";
import type { AttentionOptions, LogitOptions, SamplingOptions, TextConstraint } from "../engine/types.js";
import { CallerError } from "../errors.js";
import type { Choice } from "./choice-result.js";
import type { ReadyNode } from "./node-state.js";
import { tooLong } from "./prompt-tokens.js";
import type { GenerationFields } from "./schemas/generation-fields.js";
import type { TextRequest } from "./text-generation.js";

const SEED_RANGE = 2 ** 32;
/** As llama-server has it. */
const DEFAULT_REPEAT_LAST_N = 64;

export interface TextRequestParts {
  idPrefix: string;
  fields: GenerationFields;
  promptTokens: Int32Array;
  /** The request's field that the prompt came from. */
  promptParam: string;
  maxTokens: number | null;
  /** The field that `maxTokens` came from. */
  maxTokensParam: string;
  /** Alternatives with every token's log-probabilities; absent: no log-probabilities. */
  topLogprobs?: number | undefined;
  constraint?: TextConstraint | undefined;
}

/** Throws CallerError `context_length_exceeded` where prompt and completion do not fit. */
export function buildTextRequest(node: ReadyNode, parts: TextRequestParts): TextRequest {
  const { fields } = parts;
  return {
    requestId: `${parts.idPrefix}-${randomUUID().replaceAll("-", "")}`,
    promptTokens: parts.promptTokens,
    maxTokens: completionRoom(node.engine.info.contextTokens, parts),
    stopTokens: node.tokenizer.endTokenIds,
    stopStrings: stopList(fields.stop),
    sampling: samplingOptions(fields),
    attention: attentionOptions(fields),
    logits: logitOptions(node, fields),
    topLogprobs: parts.topLogprobs,
    constraint: parts.constraint,
  };
}

/** A request's choices: the first makes the prompt's KV cache, the others fork it; each has a seed of its own. */
export function buildChoices(request: TextRequest, numChoices: number, echo = ""): Choice[] {
  return Array.from({ length: numChoices }, (_, index) => ({
    request:
      index === 0
        ? request
        : {
            ...request,
            requestId: `${request.requestId}-${index}`,
            sampling: { ...request.sampling, seed: (request.sampling.seed + index) % SEED_RANGE },
            forkOf: request.requestId,
          },
    countsPrompt: index === 0,
    echo,
  }));
}

/** Refuses a model that this node does not serve; no model means the one it serves. */
export function requireModel(node: ReadyNode, model: string | null | undefined): void {
  if (model === undefined || model === null || model === node.model.id) return;
  const message = `The model '${model}' does not exist on this server, which serves '${node.model.id}'.`;
  throw new CallerError("model_not_found", message, "model");
}

function completionRoom(contextTokens: number, parts: TextRequestParts): number {
  const numPrompt = parts.promptTokens.length;
  if (numPrompt === 0) {
    throw new CallerError("invalid_request_error", "The prompt has no tokens.", parts.promptParam);
  }
  if (numPrompt + 1 > contextTokens) throw tooLong(contextTokens, numPrompt, parts.promptParam);
  if (parts.maxTokens === null) return contextTokens - numPrompt;
  if (numPrompt + parts.maxTokens > contextTokens) {
    const requested = `${numPrompt + parts.maxTokens} tokens (${numPrompt} in the ${parts.promptParam}, ${parts.maxTokens} in the completion)`;
    const message = `This model's maximum context length is ${contextTokens} tokens. However, you requested ${requested}.`;
    throw new CallerError("context_length_exceeded", message, parts.maxTokensParam);
  }
  return parts.maxTokens;
}

/** Undefined where nothing is asked for. */
function logitOptions({ tokenizer }: ReadyNode, fields: GenerationFields): LogitOptions | undefined {
  const pairs = biasPairs(fields.logit_bias);
  const wrong = pairs.find(([tokenId]) => tokenId >= tokenizer.vocabSize);
  if (wrong) {
    const message = `Token id ${wrong[0]} is not in the vocabulary, which has ${tokenizer.vocabSize} tokens.`;
    throw new CallerError("invalid_request_error", message, `logit_bias.${wrong[0]}`);
  }
  const options = {
    biasTokens: pairs.map(([tokenId]) => tokenId),
    biases: pairs.map(([, bias]) => bias),
    presencePenalty: fields.presence_penalty ?? 0,
    frequencyPenalty: fields.frequency_penalty ?? 0,
    repeatPenalty: fields.repeat_penalty ?? 1,
    repeatLastN: fields.repeat_last_n ?? DEFAULT_REPEAT_LAST_N,
  };
  const changes =
    pairs.length > 0 ||
    options.presencePenalty !== 0 ||
    options.frequencyPenalty !== 0 ||
    (options.repeatPenalty !== 1 && options.repeatLastN !== 0);
  return changes ? options : undefined;
}

function biasPairs(biases: GenerationFields["logit_bias"]): [number, number][] {
  if (!biases) return [];
  if (Array.isArray(biases)) {
    return biases.map(([tokenId, bias]) => [tokenId, bias === false ? Number.NEGATIVE_INFINITY : bias]);
  }
  return Object.entries(biases).map(([tokenId, bias]) => [Number(tokenId), bias]);
}

function stopList(stop: GenerationFields["stop"]): readonly string[] {
  if (stop === null || stop === undefined) return [];
  return typeof stop === "string" ? [stop] : stop;
}

function samplingOptions(fields: GenerationFields): SamplingOptions {
  return {
    temperature: fields.temperature ?? 1,
    topP: fields.top_p ?? 1,
    topK: Math.max(0, fields.top_k ?? 0),
    minP: fields.min_p ?? 0,
    seed: seedOf(fields.seed),
  };
}

/** Any integer is a seed, by its lowest 32 bits, but -1, which asks for a random one as elsewhere. */
function seedOf(seed: number | null | undefined): number {
  if (seed === null || seed === undefined || seed === -1) return randomInt(SEED_RANGE);
  return Number(BigInt.asUintN(32, BigInt(seed)));
}

/** What a request leaves open is the engine's to choose. */
function attentionOptions({ wavekv }: GenerationFields): AttentionOptions {
  return { mode: wavekv?.attention ?? null, retrievalBudget: wavekv?.retrieval_budget ?? null };
}
