/** What an answer consists of: choices, each made of pieces as they come, and whole when it has finished. */

import type { FinishedAnswer, SentToken, TextRequest, Usage } from "./text-generation.js";

/** One of the answers that a request asked for. */
export interface Choice {
  request: TextRequest;
  /** False where another choice has the same prompt, which usage counts once. */
  countsPrompt: boolean;
  /** Text that goes before the answer: the prompt, where its echo was asked for. */
  echo: string;
}

export type ChoicePiece =
  | { type: "text"; text: string; tokens: SentToken[] }
  | { type: "toolStart"; callIndex: number; id: string; name: string }
  /** The next part of a call's arguments, which are JSON when joined. */
  | { type: "toolArguments"; callIndex: number; json: string };

export interface ToolCall {
  id: string;
  name: string;
  /** JSON text. */
  arguments: string;
}

/** One choice so far. */
export interface ChoiceResult {
  index: number;
  text: string;
  tokens: SentToken[];
  toolCalls: ToolCall[];
  /** Null until its last event. */
  finished: FinishedAnswer | null;
}

export function emptyResult(index: number): ChoiceResult {
  return { index, text: "", tokens: [], toolCalls: [], finished: null };
}

export function addPiece(result: ChoiceResult, piece: ChoicePiece): void {
  if (piece.type === "text") {
    result.text += piece.text;
    result.tokens.push(...piece.tokens);
  } else if (piece.type === "toolStart") {
    result.toolCalls[piece.callIndex] = { id: piece.id, name: piece.name, arguments: "" };
  } else {
    (result.toolCalls[piece.callIndex] as ToolCall).arguments += piece.json;
  }
}

/** The counts of all choices; a prompt that several share counts once. */
export function totalUsage(choices: readonly Choice[], results: readonly ChoiceResult[]): Usage {
  const total: Usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  for (const [index, { finished }] of results.entries()) {
    if (!finished) continue;
    total.completionTokens += finished.usage.completionTokens;
    if (!choices[index]?.countsPrompt) continue;
    total.promptTokens += finished.usage.promptTokens;
    total.cachedTokens += finished.usage.cachedTokens;
  }
  return total;
}
