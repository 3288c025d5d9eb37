/** Errors in OpenAI's shape, so that the clients' libraries raise their own typed exceptions. */

import { CallerError } from "../errors.js";

export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

export interface ErrorResponse {
  status: number;
  body: ErrorBody;
  headers: Record<string, string>;
}

const INTERNAL_MESSAGE = "The server failed while running this request. Its log says more, under this request's id.";

/** `error` as a response. What is not the caller's fault becomes a 500 that shows no internals. */
export function errorResponse(error: unknown): ErrorResponse {
  if (!(error instanceof CallerError)) {
    return { status: 500, body: errorBody(INTERNAL_MESSAGE, "server_error", null, null), headers: {} };
  }
  const { status, message, param, code } = error;
  return { status, body: errorBody(message, typeOf(error), param, codeOf(code)), headers: headersOf(error) };
}

export interface MessagesErrorResponse {
  status: number;
  body: { type: "error"; error: { type: string; message: string }; request_id: string };
  headers: Record<string, string>;
}

const MESSAGES_ERROR_TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  404: "not_found_error",
  405: "invalid_request_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
};

/** The same in the shape of Anthropic's API. */
export function messagesError(error: unknown, requestId: string): MessagesErrorResponse {
  const { status, body, headers } = errorResponse(error);
  return { status, body: messagesErrorBody(status, body.error.message, requestId), headers };
}

export function messagesErrorBody(status: number, message: string, requestId: string): MessagesErrorResponse["body"] {
  const type = MESSAGES_ERROR_TYPES[status] ?? "api_error";
  return { type: "error", error: { type, message }, request_id: requestId };
}

/** For statuses that no CallerError stands for, such as 405. */
export function errorBody(message: string, type: string, param: string | null, code: string | null): ErrorBody {
  return { error: { message, type, param, code } };
}

function typeOf({ status }: CallerError): string {
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

/** OpenAI leaves `code` null where the type says it all. */
function codeOf(code: CallerError["code"]): string | null {
  return code === "invalid_request_error" ? null : code;
}

function headersOf({ status }: CallerError): Record<string, string> {
  if (status === 401) return { "www-authenticate": "Bearer" };
  if (status === 429 || status === 503) return { "retry-after": "2" };
  return {};
}
