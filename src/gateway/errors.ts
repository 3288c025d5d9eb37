/** The gateway's own answers, in the error shape of the OpenAI API. A node's errors pass through as they are. */

export type GatewayErrorCode =
  | "invalid_api_key"
  | "not_found"
  | "method_not_allowed"
  | "request_too_large"
  | "bad_gateway_configuration"
  | "no_node_available"
  | "internal_error";

const STATUS: Record<GatewayErrorCode, number> = {
  invalid_api_key: 401,
  not_found: 404,
  method_not_allowed: 405,
  request_too_large: 413,
  bad_gateway_configuration: 500,
  no_node_available: 503,
  internal_error: 500,
};

/** An answer of the gateway itself; `headers` are sent along (`www-authenticate`, `allow`, `retry-after`). */
export class GatewayError extends Error {
  readonly status: number;
  constructor(
    readonly code: GatewayErrorCode,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = "GatewayError";
    this.status = STATUS[code];
  }
}

/** Turns anything thrown into a response. What is not a GatewayError is a fault of ours: logged, and told without its details. */
export function errorResponse(thrown: unknown, requestId: string): Response {
  if (!(thrown instanceof GatewayError)) {
    console.error(JSON.stringify({ event: "gateway_fault", requestId, reason: String(thrown) }));
  }
  const error =
    thrown instanceof GatewayError ? thrown : new GatewayError("internal_error", "The gateway failed on this request.");
  const type = error.status >= 500 ? "server_error" : "invalid_request_error";
  return Response.json(
    { error: { message: error.message, type, param: null, code: error.code } },
    { status: error.status, headers: { ...error.headers, "x-request-id": requestId } },
  );
}
