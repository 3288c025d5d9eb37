/** From the engine's tokens to text: decoding, stop strings, and the counts of a finished answer. */

import type { AttentionReport, EngineEvent, FinishReason, GenerateRequest, Timings } from "../engine/types.js";
import { CallerError } from "../errors.js";
import { StopMatcher } from "../text/stop-matcher.js";
import type { ReadyNode } from "./node-state.js";

export interface TextRequest extends GenerateRequest {
  /** Texts that end the answer; they are not part of it. */
  stopStrings: readonly string[];
}

export interface Usage {
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
}

export interface FinishedAnswer {
  type: "finished";
  reason: FinishReason;
  usage: Usage;
  report: AttentionReport;
  timings: Timings;
}

export type TextEvent =
  | { type: "progress"; processed: number; total: number }
  /** One token came; `text` is what it completes, often all of it, sometimes nothing. */
  | { type: "text"; text: string }
  | FinishedAnswer;

/**
 * Runs `request` and yields text as soon as it can be neither half a character nor the start of a stop string.
 * Aborting `signal` ends the sequence; the iteration then ends without `finished`, or throws the signal's reason if that is
 * an error for the caller. Throws what the engine throws.
 */
export async function* generateText(
  node: Pick<ReadyNode, "engine" | "tokenizer">,
  request: TextRequest,
  signal: AbortSignal,
): AsyncGenerator<TextEvent, void, undefined> {
  const { engine, tokenizer } = node;
  const detokenizer = tokenizer.stream({ skipSpecial: true });
  const matcher = new StopMatcher(request.stopStrings);
  const usage: Usage = { promptTokens: request.promptTokens.length, cachedTokens: 0, completionTokens: 0 };
  let stopped = false;
  try {
    for await (const event of engine.generate(request, signal)) {
      if (event.type === "progress") {
        usage.cachedTokens = event.cached;
        yield { type: "progress", processed: event.processed, total: event.total };
      } else if (event.type === "token") {
        if (stopped) continue; // tokens that were under way when the stop string was found
        usage.completionTokens += 1;
        const match = matcher.push(detokenizer.push(event.tokenId));
        stopped = match.matched !== null;
        yield { type: "text", text: match.emit };
        if (stopped) engine.finish(request.requestId);
      } else {
        if (!stopped) {
          const rest = matcher.push(detokenizer.end());
          const { emit, matched } = matcher.end();
          stopped = rest.matched !== null || matched !== null;
          if (rest.emit + emit !== "") yield { type: "text", text: rest.emit + emit };
        }
        yield finishedAnswer(event, usage, stopped);
        return;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (signal.reason instanceof CallerError) throw signal.reason;
}

function finishedAnswer(
  event: Extract<EngineEvent, { type: "finished" }>,
  counted: Usage,
  stopped: boolean,
): FinishedAnswer {
  return {
    type: "finished",
    reason: stopped ? "stop" : event.reason,
    usage: {
      promptTokens: event.promptTokens,
      cachedTokens: event.cachedTokens,
      // The engine may have run a step or two past a stop string: those tokens are not the answer's.
      completionTokens: stopped ? counted.completionTokens : event.completionTokens,
    },
    report: event.report,
    timings: event.timings,
  };
}
