/** Log-probabilities in OpenAI's two shapes. */

import type { Tokenizer } from "../text/types.js";
import type { SentToken } from "./text-generation.js";

/** Stands for a probability of zero, which JSON has no number for. */
const LEAST_LOGPROB = -9999;

/** Of a chat completion: every token with its bytes and the likeliest alternatives. */
export function chatLogprobs(tokenizer: Tokenizer, tokens: readonly SentToken[]): object {
  const entry = (tokenId: number, logprob: number) => {
    const bytes = tokenizer.tokenBytes(tokenId);
    return { token: tokenText(bytes, ""), logprob: finite(logprob), bytes: Array.from(bytes) };
  };
  const content = tokens.map(({ tokenId, logprobs }) => ({
    ...entry(tokenId, logprobs.logprob),
    top_logprobs: Array.from(logprobs.topTokens, (id, rank) => entry(id, logprobs.topLogprobs[rank] as number)),
  }));
  return { content, refusal: null };
}

/** Of a text completion: parallel lists, and for every token a map of the likeliest, itself included. */
export function textLogprobs(tokenizer: Tokenizer, tokens: readonly SentToken[], startOffset: number): object {
  const text = (tokenId: number) => tokenText(tokenizer.tokenBytes(tokenId), "bytes:");
  const alternatives = ({ tokenId, logprobs }: SentToken) => ({
    ...Object.fromEntries(
      Array.from(logprobs.topTokens, (id, rank) => [text(id), finite(logprobs.topLogprobs[rank] as number)]),
    ),
    [text(tokenId)]: finite(logprobs.logprob),
  });
  return {
    tokens: tokens.map(({ tokenId }) => text(tokenId)),
    token_logprobs: tokens.map(({ logprobs }) => finite(logprobs.logprob)),
    top_logprobs: tokens.map(alternatives),
    text_offset: tokens.map(({ offset }) => startOffset + offset),
  };
}

/** A token that is no text by itself is written as its bytes, so that different parts of characters stay different. */
function tokenText(bytes: Uint8Array, prefix: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return prefix + Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  }
}

function finite(logprob: number): number {
  return Math.max(logprob, LEAST_LOGPROB);
}
