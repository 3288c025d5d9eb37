/** Reads a request's body once, at the edge: within the size limit, as strict UTF-8, as JSON, through its schema. */

import type { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { CallerError } from "../errors.js";
import type { ApiEnv } from "./api-context.js";
import { parseWith } from "./validation.js";

export const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** Throws CallerError: 413 past the limit, 400 for bad UTF-8, bad JSON, or what the schema refuses. */
export async function readJson<Schema extends z.ZodType>(
  c: Context<ApiEnv>,
  schema: Schema,
): Promise<z.output<Schema>> {
  const declaredBytes = Number(c.req.header("content-length") ?? 0);
  if (declaredBytes > MAX_BODY_BYTES) throw tooLarge();
  return parseWith(schema, parseJson(decodeUtf8(await readBytes(c.req.raw))));
}

async function readBytes(request: Request): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of request.body ?? []) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > MAX_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, sizeBytes);
}

function tooLarge(): CallerError {
  return new CallerError("request_too_large", `The request body is larger than ${MAX_BODY_BYTES} bytes.`);
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new CallerError("invalid_request_error", "The request body is not valid UTF-8.");
  }
}

function parseJson(text: string): unknown {
  if (text.trim() === "")
    throw new CallerError("invalid_request_error", "The request body is empty; JSON is expected.");
  try {
    return JSON.parse(text);
  } catch (error) {
    // V8 quotes a piece of the text in its message: only the caller sees it.
    throw new CallerError("invalid_request_error", `The request body is not valid JSON: ${(error as Error).message}`);
  }
}
