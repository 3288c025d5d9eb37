import type { CallerErrorCode } from "../errors.js";
import type { EngineOptions } from "./options.js";
import type { EngineEvent, EngineInfo, EngineStats, GenerateRequest } from "./types.js";

/** What the main thread sends to the engine thread. */
export type ToEngine =
  | { type: "submit"; request: GenerateRequest }
  | { type: "cancel"; requestId: string }
  | { type: "finish"; requestId: string }
  | { type: "stats"; callId: number }
  | { type: "close" };

export interface EngineFailure {
  message: string;
  /** Set where the error is the caller's. */
  code: CallerErrorCode | null;
  param: string | null;
}

/** What the engine thread sends back; `events` carries all events of one step. */
export type FromEngine =
  | { type: "ready"; info: EngineInfo }
  | { type: "notLoaded"; message: string }
  | { type: "events"; events: { requestId: string; event: EngineEvent }[] }
  | { type: "failed"; requestId: string; failure: EngineFailure }
  | { type: "stats"; callId: number; stats: EngineStats };

export interface EngineThreadData {
  options: EngineOptions;
}
