/** The kinds of error a caller can cause; each maps to one HTTP status in `api/error-handler.ts`. */
export type CallerErrorCode =
  | "invalid_request_error"
  | "context_length_exceeded"
  | "model_not_found"
  | "not_found"
  | "invalid_api_key"
  | "rate_limit_exceeded"
  | "request_too_large"
  | "service_unavailable";

const STATUS: Record<CallerErrorCode, number> = {
  invalid_request_error: 400,
  context_length_exceeded: 400,
  model_not_found: 404,
  not_found: 404,
  invalid_api_key: 401,
  rate_limit_exceeded: 429,
  request_too_large: 413,
  service_unavailable: 503,
};

/** An error that the caller can mend. `param` names the field at fault, in the request's own spelling. */
export class CallerError extends Error {
  readonly status: number;
  constructor(
    readonly code: CallerErrorCode,
    message: string,
    readonly param: string | null = null,
  ) {
    super(message);
    this.name = "CallerError";
    this.status = STATUS[code];
  }
}
