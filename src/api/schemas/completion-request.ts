/** Body of POST /v1/completions. */

import { z } from "@hono/zod-openapi";
import {
  equals,
  generationFields,
  MAX_TOP_LOGPROBS,
  STREAM_OPTIONS_REFUSAL,
  streamOptionsNeedStream,
  unsupported,
} from "./generation-fields.js";

const MAX_PROMPTS = 128;

const tokenId = z.int().min(0).max(0x7fff_ffff);
const tokenIds = z.array(tokenId).min(1);

export const completionRequest = z
  .strictObject({
    ...generationFields,
    prompt: z.union(
      [z.string(), tokenIds, z.array(z.string()).min(1).max(MAX_PROMPTS), z.array(tokenIds).min(1).max(MAX_PROMPTS)],
      { error: `expected a string, a list of token ids, or a list of up to ${MAX_PROMPTS} of one of these` },
    ),
    suffix: unsupported(equals("")),
    echo: z.boolean().nullish(),
    // More than one would run answers that nobody sees.
    best_of: z.int().min(1).nullish(),
    logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).nullish(),
  })
  .refine(streamOptionsNeedStream, STREAM_OPTIONS_REFUSAL)
  .refine((body) => !(body.echo === true && typeof body.logprobs === "number"), {
    path: ["logprobs"],
    error: "it is not supported together with 'echo': the prompt's own log-probabilities are not kept",
  })
  .refine((body) => typeof body.best_of !== "number" || body.best_of === (body.n ?? 1), {
    path: ["best_of"],
    error: "it is only supported equal to 'n'",
  })
  .openapi("CompletionRequest");

export type CompletionRequest = z.output<typeof completionRequest>;
