/** The two shapes of an answer in OpenAI's API: chat completions and text completions, whole and in chunks. */

import type { FinishReason } from "../engine/types.js";
import type { Usage } from "./text-generation.js";
import type { WavekvResponse } from "./wavekv-report.js";

export interface AnswerHeader {
  id: string;
  createdSeconds: number;
  model: string;
}

export interface AnswerShape {
  whole(header: AnswerHeader, text: string, reason: FinishReason): object;
  /** Sent before any text; null where the shape has none. */
  opening(header: AnswerHeader): object | null;
  delta(header: AnswerHeader, text: string): object;
  closing(header: AnswerHeader, reason: FinishReason): object;
  /** The chunk that carries the usage alone. */
  usageOnly(header: AnswerHeader): object;
}

/** Fields that come after the choices of a whole answer. */
export interface AnswerTotals {
  usage: object;
  wavekv: WavekvResponse;
}

export function usageFields(usage: Usage): object {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedTokens },
  };
}

function head(object: string, { id, createdSeconds, model }: AnswerHeader): object {
  return { id, object, created: createdSeconds, model };
}

const chatHead = (header: AnswerHeader) => head("chat.completion.chunk", header);
const textHead = (header: AnswerHeader) => head("text_completion", header);

function chatChoice(delta: object, finish_reason: FinishReason | null): object {
  return { index: 0, delta, logprobs: null, finish_reason };
}

function textChoice(text: string, finish_reason: FinishReason | null): object {
  return { index: 0, text, logprobs: null, finish_reason };
}

export const chatShape: AnswerShape = {
  whole: (header, content, finish_reason) => ({
    ...head("chat.completion", header),
    choices: [{ index: 0, message: { role: "assistant", content, refusal: null }, logprobs: null, finish_reason }],
  }),
  opening: (header) => ({ ...chatHead(header), choices: [chatChoice({ role: "assistant", content: "" }, null)] }),
  delta: (header, content) => ({ ...chatHead(header), choices: [chatChoice({ content }, null)] }),
  closing: (header, reason) => ({ ...chatHead(header), choices: [chatChoice({}, reason)] }),
  usageOnly: (header) => ({ ...chatHead(header), choices: [] }),
};

export const textShape: AnswerShape = {
  whole: (header, text, reason) => ({ ...textHead(header), choices: [textChoice(text, reason)] }),
  opening: () => null,
  delta: (header, text) => ({ ...textHead(header), choices: [textChoice(text, null)] }),
  closing: (header, reason) => ({ ...textHead(header), choices: [textChoice("", reason)] }),
  usageOnly: (header) => ({ ...textHead(header), choices: [] }),
};
