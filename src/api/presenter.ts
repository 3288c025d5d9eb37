/** How an API shows an answer: as one body, or as frames of a stream. One presenter serves one request. */

import type { ChoicePiece, ChoiceResult } from "./choice-result.js";
import type { Usage } from "./text-generation.js";

export interface Progress {
  /** Prompt tokens in the KV cache; `cached` of them were there before. */
  processed: number;
  total: number;
  cached: number;
  elapsedMs: number;
}

export interface Presenter {
  /** The body of an answer that is not streamed; every result has finished. */
  whole(results: readonly ChoiceResult[], usage: Usage): object;
  /** Frames that are sent before any text; empty where the API has none. */
  open(): string;
  /** Frames of the prompt's progress; empty where they were not asked for. */
  progress(index: number, progress: Progress): string;
  /** Keeps a silent connection alive; `idle` says what is waited for. */
  ping(idle: string): string;
  piece(index: number, piece: ChoicePiece): string;
  /** Frames of a choice's end. */
  finish(result: ChoiceResult): string;
  /** Frames after the last choice. */
  end(results: readonly ChoiceResult[], usage: Usage): string;
  /** The frame of an error after the first byte. */
  error(error: unknown): string;
}
