/** From what a request gives as its prompt to token ids. */

import { CallerError } from "../errors.js";
import type { Tokenizer } from "../text/types.js";
import type { ReadyNode } from "./node-state.js";

/** Texts of more characters than this for each token of the context are first judged by their beginning. */
const SCREENED_CHARACTERS_PER_TOKEN = 32;
/** A cut inside a word can change the tokens of that word alone. */
const CUT_MARGIN_TOKENS = 1024;

export interface PromptField {
  /** The request's field that the text came from. */
  param: string;
  addSpecial: boolean;
}

/**
 * Ids of `text`, special tokens included. A text far too long for the context is refused by its beginning: encoding
 * 64 MiB would hold up every other request for many seconds. Throws CallerError `context_length_exceeded` then.
 */
export function encodePrompt({ tokenizer, engine }: ReadyNode, text: string, field: PromptField): Int32Array {
  const { contextTokens } = engine.info;
  const options = { addSpecial: field.addSpecial, parseSpecial: true };
  const screened = SCREENED_CHARACTERS_PER_TOKEN * contextTokens;
  if (text.length > screened) {
    const atLeast = tokenizer.encode(text.slice(0, screened), options).length - CUT_MARGIN_TOKENS;
    if (atLeast >= contextTokens) throw tooLong(contextTokens, `at least ${atLeast}`, field.param);
  }
  return tokenizer.encode(text, options);
}

export function tooLong(contextTokens: number, numPrompt: number | string, param: string): CallerError {
  const message =
    `This model's maximum context length is ${contextTokens} tokens. However, your ${param} resulted in ` +
    `${numPrompt} tokens, which leaves no room for an answer.`;
  return new CallerError("context_length_exceeded", message, param);
}

/** Throws CallerError naming the first id that the vocabulary does not have. */
export function checkTokenIds(tokenizer: Tokenizer, ids: readonly number[], param: string): Int32Array {
  const wrong = ids.findIndex((id) => id >= tokenizer.vocabSize);
  if (wrong >= 0) {
    const message = `Token id ${ids[wrong]} is not in the vocabulary, which has ${tokenizer.vocabSize} tokens.`;
    throw new CallerError("invalid_request_error", message, `${param}.${wrong}`);
  }
  return Int32Array.from(ids);
}
