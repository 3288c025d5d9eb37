/** The two shapes of an answer in OpenAI's API that have choices: chat completions and text completions. */

import type { Tokenizer } from "../text/types.js";
import type { Choice, ChoicePiece, ChoiceResult, ToolCall } from "./choice-result.js";
import { errorResponse } from "./error-body.js";
import { chatLogprobs, textLogprobs } from "./logprobs.js";
import type { Presenter, Progress } from "./presenter.js";
import { commentFrame, DONE_FRAME, dataFrame } from "./sse.js";
import type { FinishedAnswer, SentToken, Usage } from "./text-generation.js";
import { usageFields } from "./usage.js";
import { wavekvObject } from "./wavekv-report.js";

export interface CompletionOptions {
  id: string;
  model: string;
  tokenizer: Tokenizer;
  choices: readonly Choice[];
  wantsLogprobs: boolean;
  includeUsage: boolean;
  /** `return_progress`: the prompt's progress in chunks of its own. */
  returnProgress: boolean;
  /** The request's `wavekv.report`. */
  report: boolean;
}

/** The parts that differ between the two. */
interface Shape {
  object: string;
  chunkObject: string;
  choice(result: ChoiceResult): object;
  /** A choice's first fields in a stream; null where the API sends none. */
  opening(index: number): object | null;
  piece(index: number, piece: ChoicePiece): object;
  blank(index: number): object;
}

export class CompletionPresenter implements Presenter {
  readonly #createdSeconds = Math.floor(Date.now() / 1000);

  constructor(
    private readonly options: CompletionOptions,
    private readonly shape: Shape,
  ) {}

  whole(results: readonly ChoiceResult[], usage: Usage): object {
    const choices = results.map((result) => ({ ...this.shape.choice(result), finish_reason: finishReason(result) }));
    const first = results[0]?.finished as FinishedAnswer;
    return {
      ...this.#head(this.shape.object),
      choices,
      usage: usageFields(usage),
      wavekv: wavekvObject(first, this.options.report),
    };
  }

  open(): string {
    const openings = this.options.choices.map((_, index) => this.shape.opening(index));
    return openings.map((choice) => (choice ? this.#chunk([{ ...choice, finish_reason: null }]) : "")).join("");
  }

  progress(index: number, { total, cached, processed, elapsedMs }: Progress): string {
    if (!this.options.returnProgress) return "";
    const prompt_progress = { total, cache: cached, processed, time_ms: Math.round(elapsedMs) };
    return this.#chunk([{ ...this.shape.blank(index), finish_reason: null }], { prompt_progress });
  }

  ping(idle: string): string {
    return commentFrame(idle);
  }

  piece(index: number, piece: ChoicePiece): string {
    return this.#chunk([{ ...this.shape.piece(index, piece), finish_reason: null }]);
  }

  finish(result: ChoiceResult): string {
    const choice = { ...this.shape.blank(result.index), finish_reason: finishReason(result) };
    return this.#chunk([choice], { wavekv: wavekvObject(result.finished as FinishedAnswer, this.options.report) });
  }

  end(_results: readonly ChoiceResult[], usage: Usage): string {
    return (this.options.includeUsage ? this.#chunk([], { usage: usageFields(usage) }) : "") + DONE_FRAME;
  }

  error(error: unknown): string {
    return dataFrame(errorResponse(error).body);
  }

  #chunk(choices: object[], fields: object = {}): string {
    return dataFrame({ ...this.#head(this.shape.chunkObject), choices, ...fields });
  }

  #head(object: string): object {
    return { id: this.options.id, object, created: this.#createdSeconds, model: this.options.model };
  }
}

function finishReason({ finished, toolCalls }: ChoiceResult): string | null {
  return finished?.reason === "stop" && toolCalls.length > 0 ? "tool_calls" : (finished?.reason ?? null);
}

export function chatPresenter(options: CompletionOptions): Presenter {
  const logprobs = (tokens: readonly SentToken[]) =>
    options.wantsLogprobs ? chatLogprobs(options.tokenizer, tokens) : null;
  const choice = (index: number, delta: object, tokens: readonly SentToken[] | null = null) => ({
    index,
    delta,
    logprobs: tokens && logprobs(tokens),
  });
  return new CompletionPresenter(options, {
    object: "chat.completion",
    chunkObject: "chat.completion.chunk",
    choice: ({ index, text, tokens, toolCalls }) => ({
      index,
      message: {
        role: "assistant",
        content: text === "" && toolCalls.length > 0 ? null : text,
        refusal: null,
        ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(toolCallObject) }),
      },
      logprobs: logprobs(tokens),
    }),
    opening: (index) => choice(index, { role: "assistant", content: "" }),
    piece: (index, piece) =>
      piece.type === "text"
        ? choice(index, { content: piece.text }, piece.tokens)
        : choice(index, { tool_calls: [toolCallDelta(piece)] }),
    blank: (index) => choice(index, {}),
  });
}

function toolCallObject({ id, name, arguments: json }: ToolCall): object {
  return { id, type: "function", function: { name, arguments: json } };
}

function toolCallDelta(piece: Exclude<ChoicePiece, { type: "text" }>): object {
  if (piece.type === "toolArguments") return { index: piece.callIndex, function: { arguments: piece.json } };
  return { index: piece.callIndex, ...toolCallObject({ id: piece.id, name: piece.name, arguments: "" }) };
}

export function textPresenter(options: CompletionOptions): Presenter {
  const echo = (index: number) => options.choices[index]?.echo ?? "";
  const logprobs = (index: number, tokens: readonly SentToken[]) =>
    options.wantsLogprobs ? textLogprobs(options.tokenizer, tokens, echo(index).length) : null;
  return new CompletionPresenter(options, {
    object: "text_completion",
    chunkObject: "text_completion",
    choice: ({ index, text, tokens }) => ({ index, text: echo(index) + text, logprobs: logprobs(index, tokens) }),
    opening: (index) => (echo(index) === "" ? null : { index, text: echo(index), logprobs: null }),
    piece: (index, piece) =>
      piece.type === "text"
        ? { index, text: piece.text, logprobs: logprobs(index, piece.tokens) }
        : { index, text: "", logprobs: null },
    blank: (index) => ({ index, text: "", logprobs: null }),
  });
}
