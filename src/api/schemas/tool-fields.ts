/** Functions that a model may call, as OpenAI's chat API describes them, and the calls of earlier answers. */

import { z } from "@hono/zod-openapi";
import { ignored, unsupported } from "./generation-fields.js";

const MAX_TOOLS = 128;

export const functionName = z.string().regex(/^[\w-]{1,64}$/, "expected 1 to 64 letters, digits, '_' or '-'");
export const jsonSchema = z.record(z.string(), z.unknown());

const tool = z.strictObject({
  type: z.literal("function", { error: "only tools of type 'function' are supported" }),
  function: z.strictObject({
    name: functionName,
    description: z.string().nullish(),
    parameters: jsonSchema.nullish(),
    // Arguments are not yet held to the schema.
    strict: unsupported((value) => value === false),
  }),
});

export const chatTools = z.array(tool).max(MAX_TOOLS);

export const chatToolChoice = z.union(
  [
    z.enum(["none", "auto", "required"]),
    z.strictObject({ type: z.literal("function"), function: z.strictObject({ name: functionName }) }),
  ],
  { error: "expected 'none', 'auto', 'required', or a function by name" },
);

/** A call of an earlier answer, as clients send it back. */
export const sentToolCall = z.strictObject({
  id: z.string().min(1).max(256),
  type: z.literal("function"),
  function: z.strictObject({ name: functionName, arguments: z.string() }),
  index: ignored(),
});
