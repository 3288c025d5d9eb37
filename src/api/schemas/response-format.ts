/** What form an answer is to have, as OpenAI's APIs say it. */

import { z } from "@hono/zod-openapi";
import { ignored } from "./generation-fields.js";
import { functionName, jsonSchema } from "./tool-fields.js";

const BAD_TYPE = "expected a type of text, json_object or json_schema";
const text = z.strictObject({ type: z.literal("text") });
const jsonObject = z.strictObject({
  type: z.literal("json_object"),
  // As llama-server has it.
  schema: jsonSchema.nullish(),
});

const described = {
  name: functionName.nullish(),
  description: z.string().nullish(),
  schema: jsonSchema,
  // The schema is always held to.
  strict: ignored(),
};

/** Of a chat completion. */
export const responseFormat = z.discriminatedUnion(
  "type",
  [text, jsonObject, z.strictObject({ type: z.literal("json_schema"), json_schema: z.strictObject(described) })],
  { error: BAD_TYPE },
);

/** Of a response: the same fields one level up. */
export const textFormat = z.discriminatedUnion(
  "type",
  [
    text,
    z.strictObject({ type: z.literal("json_object") }),
    z.strictObject({ type: z.literal("json_schema"), ...described }),
  ],
  { error: BAD_TYPE },
);
