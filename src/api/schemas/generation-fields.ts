/** Fields that both completion endpoints share. Every optional field also takes null, which clients send for "not set". */

import { z } from "@hono/zod-openapi";

const MAX_STOPS = 4;
const MAX_STOP_LENGTH = 1024;
/** Choices of one request: as many sequences. */
const MAX_CHOICES = 128;
const MAX_BIASES = 1024;
/** Alternatives that a token's log-probabilities can come with. */
export const MAX_TOP_LOGPROBS = 20;

/** A field of the API that this server cannot honour: refused by name unless its value asks for nothing. */
export function unsupported(asksForNothing: (value: unknown) => boolean = () => false) {
  return z
    .unknown()
    .optional()
    .refine((value) => value === undefined || value === null || asksForNothing(value), {
      error: "this field is not supported by this server yet",
    });
}

/** A field that clients commonly send and that changes nothing in the answer: accepted, and left unread. */
export function ignored() {
  return z.unknown().optional().openapi({ description: "Accepted and left unread." });
}

export const isFalse = (value: unknown): boolean => value === false;
export const isEmpty = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Object.keys(value).length === 0;
export const equals =
  (expected: unknown) =>
  (value: unknown): boolean =>
    value === expected;

const stopString = z.string().min(1).max(MAX_STOP_LENGTH);

const stop = z.union([stopString, z.array(stopString).max(MAX_STOPS)], {
  error: `expected a string, or a list of up to ${MAX_STOPS} strings`,
});

const streamOptions = z.strictObject({
  include_usage: z.boolean().nullish(),
  // Padding against traffic analysis, which this server does not add: there is nothing to switch off.
  include_obfuscation: ignored(),
});

export const wavekvRequest = z
  .strictObject({
    attention: z.enum(["wave", "full"]).nullish(),
    retrieval_budget: z.number().min(0).max(1).nullish(),
    report: z.boolean().nullish(),
    min_mass: unsupported(),
    context: unsupported(),
  })
  .openapi("WavekvRequest");

const bias = z.number().min(-100).max(100);

/** By token id, as OpenAI has it; or as pairs with `false` for "never", as llama-server also takes it. */
const logitBias = z.union(
  [
    z
      .record(z.string().regex(/^\d{1,9}$/, "expected token ids as keys"), bias)
      .refine((biases) => Object.keys(biases).length <= MAX_BIASES, { error: `expected up to ${MAX_BIASES} tokens` }),
    z.array(z.tuple([z.int().min(0).max(0x7fff_ffff), z.union([bias, z.literal(false)])])).max(MAX_BIASES),
  ],
  { error: "expected biases of -100 to 100 by token id" },
);

/** Share of a distribution, above 0 and up to 1. */
const openShare = z.number().gt(0).max(1);

export const generationFields = {
  model: z.string().min(1).max(512).nullish(),
  max_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: openShare.nullish(),
  // -1 and 0 both keep every token, as other servers have it.
  top_k: z.int().min(-1).max(1_000_000).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  n: z.int().min(1).max(MAX_CHOICES).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  repeat_penalty: z.number().gt(0).max(100).nullish(),
  // How many of the latest tokens `repeat_penalty` looks at; -1 is all of them.
  repeat_last_n: z.int().min(-1).max(0x7fff_ffff).nullish(),
  logit_bias: logitBias.nullish(),
  return_progress: z.boolean().nullish(),
  stop: stop.nullish(),
  stream: z.boolean().nullish(),
  stream_options: streamOptions.nullish(),
  wavekv: wavekvRequest.nullish(),

  user: ignored(),
  cache_prompt: ignored(),
};

interface StreamFields {
  stream?: boolean | null;
  stream_options?: unknown;
}

/** OpenAI's rule: `stream_options` only goes with `stream: true`. */
export function streamOptionsNeedStream(body: StreamFields): boolean {
  return body.stream === true || body.stream_options === undefined || body.stream_options === null;
}

export const STREAM_OPTIONS_REFUSAL = {
  path: ["stream_options"],
  error: "it is only allowed together with 'stream': true",
};

export type GenerationFields = z.output<z.ZodObject<typeof generationFields>>;
