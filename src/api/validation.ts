/** Turns a schema's refusal into the caller's error, which names the field by its dotted path. */

import type { z } from "@hono/zod-openapi";
import { CallerError } from "../errors.js";

type Issue = z.core.$ZodIssue;

/** Parses `input`, or throws CallerError for the first field at fault. */
export function parseWith<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw refusal(result.error.issues[0] as Issue, []);
}

function refusal(issue: Issue, parentPath: readonly PropertyKey[]): CallerError {
  const path = [...parentPath, ...issue.path];
  if (issue.code === "unrecognized_keys") {
    const field = dotted([...path, issue.keys[0] as string]);
    return new CallerError("invalid_request_error", `Unrecognized field '${field}'.`, field);
  }
  if (issue.code === "invalid_union") {
    const deepest = deepestIssue(issue.errors);
    if (deepest) return refusal(deepest, path);
  }
  const field = dotted(path);
  const subject = field === "" ? "the request body" : `'${field}'`;
  return new CallerError("invalid_request_error", `Invalid value for ${subject}: ${issue.message}`, field || null);
}

/** Of a union's alternatives, the issue that got furthest into the value: it names the element at fault. */
function deepestIssue(alternatives: readonly (readonly Issue[])[]): Issue | null {
  let deepest: Issue | null = null;
  for (const issue of alternatives.flat()) {
    if (issue.path.length > (deepest?.path.length ?? 0)) deepest = issue;
  }
  return deepest;
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map(String).join(".");
}
