/** The `wavekv` object of a response: how attention ran and where the time went. */

import { z } from "@hono/zod-openapi";
import type { AttentionReport, Timings } from "../engine/types.js";
import type { FinishedAnswer } from "./text-generation.js";

const timings = z.object({
  queue_ms: z.number(),
  prefill_ms: z.number(),
  index_build_ms: z.number(),
  decode_ms: z.number(),
});

export const wavekvResponse = z
  .object({
    attention: z.enum(["wave", "full"]),
    kv_read_share: z.number(),
    timings,
    tokens: z.object({ steady: z.number(), retrieval: z.number(), estimation: z.number() }).optional(),
    mass: z
      .object({ steady: z.number(), retrieval: z.number(), estimation: z.number(), unattended: z.number() })
      .optional(),
    block_cache: z.object({ hits: z.number(), misses: z.number() }).optional(),
    index_bytes: z.number().optional(),
    segments: z.number().optional(),
  })
  .openapi("WavekvResponse");

export type WavekvResponse = z.output<typeof wavekvResponse>;

/** `full` is the request's `report: true`: zones, masses and cache counts as well. */
export function wavekvObject({ report, timings }: FinishedAnswer, full: boolean): WavekvResponse {
  return {
    attention: report.mode,
    kv_read_share: rounded(report.kvReadShare, 6),
    timings: timingFields(timings),
    ...(full && zoneFields(report)),
  };
}

function timingFields(timings: Timings): NonNullable<WavekvResponse["timings"]> {
  return {
    queue_ms: rounded(timings.queueMs, 3),
    prefill_ms: rounded(timings.prefillMs, 3),
    index_build_ms: rounded(timings.indexBuildMs, 3),
    decode_ms: rounded(timings.decodeMs, 3),
  };
}

function zoneFields(report: AttentionReport): Partial<WavekvResponse> {
  const { tokens, mass, blockCache } = report;
  return {
    tokens: {
      steady: rounded(tokens.steady, 2),
      retrieval: rounded(tokens.retrieval, 2),
      estimation: rounded(tokens.estimation, 2),
    },
    mass: {
      steady: rounded(mass.steady, 6),
      retrieval: rounded(mass.retrieval, 6),
      estimation: rounded(mass.estimation, 6),
      unattended: rounded(mass.unattended, 6),
    },
    block_cache: { hits: blockCache.hits, misses: blockCache.misses },
    index_bytes: report.indexBytes,
    segments: report.segments,
  };
}

function rounded(value: number, decimals: number): number {
  const factor = 10 ** decimals;
  return Math.round(value * factor) / factor;
}
