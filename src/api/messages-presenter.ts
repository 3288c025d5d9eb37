/** Answers in the shape of Anthropic's Messages API, whole and as its sequence of events. */

import type { ChoicePiece, ChoiceResult } from "./choice-result.js";
import { messagesError } from "./error-body.js";
import type { Presenter, Progress } from "./presenter.js";
import { commentFrame, eventFrame } from "./sse.js";
import type { FinishedAnswer, Usage } from "./text-generation.js";
import { wavekvObject } from "./wavekv-report.js";

export interface MessagesOptions {
  id: string;
  model: string;
  /** Goes with an error event. */
  requestId: string;
  report: boolean;
  numPrompt: number;
}

/** `message_start` waits for the first sign of the engine, since it says how much of the prompt was cached. */
export class MessagesPresenter implements Presenter {
  #cachedTokens = 0;
  #started = false;
  #numBlocks = 0;
  #openBlock: "text" | "tool" | null = null;

  constructor(private readonly options: MessagesOptions) {}

  whole([result]: readonly ChoiceResult[], usage: Usage): object {
    const { text, toolCalls, finished } = result as ChoiceResult;
    const blocks: object[] = text === "" ? [] : [{ type: "text", text, citations: null }];
    for (const { id, name, arguments: json } of toolCalls)
      blocks.push({ type: "tool_use", id, name, input: inputOf(json) });
    return {
      ...this.#message(blocks),
      ...stopFields(result as ChoiceResult),
      usage: usageFields(usage),
      wavekv: wavekvObject(finished as FinishedAnswer, this.options.report),
    };
  }

  open(): string {
    return "";
  }

  progress(_index: number, { cached }: Progress): string {
    this.#cachedTokens = cached;
    return this.#start();
  }

  ping(idle: string): string {
    return this.#started ? eventFrame({ type: "ping" }) : commentFrame(idle);
  }

  piece(_index: number, piece: ChoicePiece): string {
    const started = this.#start();
    if (piece.type === "text") {
      const opened = this.#openBlock === "text" ? "" : this.#block("text", { type: "text", text: "" });
      return started + opened + this.#delta({ type: "text_delta", text: piece.text });
    }
    if (piece.type === "toolArguments") return this.#delta({ type: "input_json_delta", partial_json: piece.json });
    return started + this.#block("tool", { type: "tool_use", id: piece.id, name: piece.name, input: {} });
  }

  finish(result: ChoiceResult): string {
    const { usage } = result.finished as FinishedAnswer;
    const started = this.#start();
    const delta = {
      type: "message_delta",
      delta: stopFields(result),
      usage: usageFields(usage),
      wavekv: wavekvObject(result.finished as FinishedAnswer, this.options.report),
    };
    return started + this.#closeBlock() + eventFrame(delta);
  }

  end(): string {
    return eventFrame({ type: "message_stop" });
  }

  error(error: unknown): string {
    return eventFrame({ ...messagesError(error, this.options.requestId).body });
  }

  #start(): string {
    if (this.#started) return "";
    this.#started = true;
    const usage = { promptTokens: this.options.numPrompt, cachedTokens: this.#cachedTokens, completionTokens: 0 };
    const message = { ...this.#message([]), stop_reason: null, stop_sequence: null, usage: usageFields(usage) };
    return eventFrame({ type: "message_start", message });
  }

  #message(content: object[]): object {
    return { id: this.options.id, type: "message", role: "assistant", model: this.options.model, content };
  }

  #block(kind: "text" | "tool", content_block: object): string {
    const closed = this.#closeBlock();
    this.#openBlock = kind;
    const opened = eventFrame({ type: "content_block_start", index: this.#numBlocks, content_block });
    return closed + opened + (this.#numBlocks === 0 ? eventFrame({ type: "ping" }) : "");
  }

  #delta(delta: object): string {
    return eventFrame({ type: "content_block_delta", index: this.#numBlocks, delta });
  }

  #closeBlock(): string {
    if (this.#openBlock === null) return "";
    this.#openBlock = null;
    return eventFrame({ type: "content_block_stop", index: this.#numBlocks++ });
  }
}

/** Arguments that were cut off by the token limit are no JSON: the API has no shape for them but an empty object. */
function inputOf(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

function stopFields({ finished, toolCalls }: ChoiceResult): object {
  const { reason, stopString } = finished as FinishedAnswer;
  const stop_reason =
    reason === "length"
      ? "max_tokens"
      : stopString !== null
        ? "stop_sequence"
        : toolCalls.length > 0
          ? "tool_use"
          : "end_turn";
  return { stop_reason, stop_sequence: stopString };
}

/** `input_tokens` are those that were not cached. */
function usageFields({ promptTokens, cachedTokens, completionTokens }: Usage): object {
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: completionTokens,
  };
}
