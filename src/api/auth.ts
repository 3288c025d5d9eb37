/** The API key: `Authorization: Bearer KEY`, or `x-api-key: KEY` as some clients send it. */

import { createHash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { CallerError } from "../errors.js";
import type { ApiEnv } from "./api-context.js";

/** Paths that are asked without a key: by load balancers and supervisors, and by people who read what the API is. */
const OPEN_PATHS: readonly string[] = ["/health", "/docs", "/openapi.json"];

/** Refuses requests without the key; with no key configured, lets everything pass. */
export function requireApiKey(apiKey: string | null): MiddlewareHandler<ApiEnv> {
  const expected = apiKey === null ? null : digest(apiKey);
  return async (c, next) => {
    if (expected !== null && !OPEN_PATHS.includes(c.req.path)) {
      const given = givenKey(c);
      if (given === null) throw new CallerError("invalid_api_key", "An API key is needed: Authorization: Bearer KEY.");
      if (!timingSafeEqual(digest(given), expected)) {
        throw new CallerError("invalid_api_key", "The API key is not valid for this server.");
      }
    }
    await next();
  };
}

function givenKey(c: Context<ApiEnv>): string | null {
  const bearer = /^Bearer +(\S+) *$/i.exec(c.req.header("authorization") ?? "")?.[1];
  return bearer ?? c.req.header("x-api-key") ?? null;
}

/** Digests have one length, so that comparing them tells nothing of the key's. */
function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}
