/** From the engine's tokens to text: decoding, stop strings, and the counts of a finished answer. */

import type {
  AttentionReport,
  EngineEvent,
  FinishReason,
  GenerateRequest,
  Timings,
  TokenLogprobs,
} from "../engine/types.js";
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
  /** The stop string that ended the answer; null where none did. */
  stopString: string | null;
}

/** A token whose text has been sent, with its log-probabilities where they were asked for. */
export interface SentToken {
  tokenId: number;
  /** Where its text begins in the answer, in UTF-16 units. */
  offset: number;
  logprobs: TokenLogprobs;
}

export type TextEvent =
  | { type: "progress"; processed: number; total: number; cached: number; elapsedMs: number }
  /**
   * A token came, or the end; `text` is what can be sent since: often all of the token, sometimes nothing. `tokens` are those
   * that the text completes, and none unless log-probabilities were asked for.
   */
  | { type: "text"; text: string; tokens: SentToken[] }
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
  const held = new HeldTokens();
  let stopString: string | null = null;
  let stopped = false;
  try {
    for await (const event of engine.generate(request, signal)) {
      if (event.type === "progress") {
        usage.cachedTokens = event.cached;
        yield event;
      } else if (event.type === "token") {
        if (stopped) continue; // tokens that were under way when the stop string was found
        usage.completionTokens += 1;
        const text = detokenizer.push(event.tokenId);
        if (event.logprobs) held.add(event.tokenId, text.length, event.logprobs);
        const match = matcher.push(text);
        stopString = match.matched;
        stopped = match.matched !== null;
        yield { type: "text", text: match.emit, tokens: held.release(match.emit.length, stopped) };
        if (stopped) engine.finish(request.requestId);
      } else {
        if (!stopped) {
          const rest = matcher.push(detokenizer.end());
          const { emit, matched } = matcher.end();
          stopString = rest.matched ?? matched;
          stopped = stopString !== null;
          const text = rest.emit + emit;
          const tokens = held.release(text.length, true);
          if (text !== "" || tokens.length > 0) yield { type: "text", text, tokens };
        }
        yield finishedAnswer(event, usage, stopString);
        return;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (signal.reason instanceof CallerError) throw signal.reason;
}

/** Tokens that wait until their text is sent: what may be a stop string is held back, and so are its tokens. */
class HeldTokens {
  private readonly held: SentToken[] = [];
  private decodedLength = 0;
  private sentLength = 0;

  add(tokenId: number, textLength: number, logprobs: TokenLogprobs): void {
    this.held.push({ tokenId, offset: this.decodedLength, logprobs });
    this.decodedLength += textLength;
  }

  /**
   * The tokens that end within the text sent so far, `numSent` units of it now. `last`: of a token that a stop string cuts, the
   * part before it is sent and it counts; tokens of the stop string do not.
   */
  release(numSent: number, last: boolean): SentToken[] {
    this.sentLength += numSent;
    const isSent = (token: SentToken, index: number) => {
      if (last) return token.offset < this.sentLength || this.decodedLength === this.sentLength;
      return (this.held[index + 1]?.offset ?? this.decodedLength) <= this.sentLength;
    };
    let count = 0;
    while (count < this.held.length && isSent(this.held[count] as SentToken, count)) count++;
    return this.held.splice(0, count);
  }
}

function finishedAnswer(
  event: Extract<EngineEvent, { type: "finished" }>,
  counted: Usage,
  stopString: string | null,
): FinishedAnswer {
  const stopped = stopString !== null;
  return {
    stopString,
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
