/** Body of POST /v1/completions. */

import { z } from "@hono/zod-openapi";
import {
  equals,
  generationFields,
  isFalse,
  STREAM_OPTIONS_REFUSAL,
  streamOptionsNeedStream,
  unsupported,
} from "./generation-fields.js";

const tokenId = z.int().min(0).max(0x7fff_ffff);

export const completionRequest = z
  .strictObject({
    ...generationFields,
    prompt: z.union([z.string(), z.array(tokenId).min(1), z.tuple([z.string()])], {
      error: "expected a string, or a list of token ids; one prompt a request",
    }),
    suffix: unsupported(equals("")),
    echo: unsupported(isFalse),
    best_of: unsupported(equals(1)),
    logprobs: unsupported(),
  })
  .refine(streamOptionsNeedStream, STREAM_OPTIONS_REFUSAL)
  .openapi("CompletionRequest");

export type CompletionRequest = z.output<typeof completionRequest>;
