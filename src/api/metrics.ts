/** Prometheus metrics: HTTP counts and times of this process, and the engine's own counters as they stand when asked. */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { EngineStats } from "../engine/types.js";

/** Seconds, from a cached short prompt to a prefill of many minutes. */
const FIRST_TOKEN_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800];
const INTER_TOKEN_BUCKETS = [0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5];
const DURATION_BUCKETS = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800];

type NumericStat = Exclude<keyof EngineStats, "phaseMs">;

const GAUGES: readonly [NumericStat, string, string][] = [
  ["queued", "wavekv_sequences_queued", "Sequences that wait for a place in the batch."],
  ["running", "wavekv_sequences_running", "Sequences in the batch."],
  ["kvBytesUsed", "wavekv_kv_cache_used_bytes", "Bytes of the KV cache in use."],
  ["kvBytesTotal", "wavekv_kv_cache_bytes", "Bytes of the KV cache."],
  ["segmentsLive", "wavekv_segments_live", "Segments of the wave index that are in use."],
];

const COUNTERS: readonly [NumericStat, string, string][] = [
  ["promptTokensTotal", "wavekv_prompt_tokens_total", "Prompt tokens processed."],
  ["completionTokensTotal", "wavekv_completion_tokens_total", "Completion tokens generated."],
  ["stepsTotal", "wavekv_steps_total", "Steps of the engine."],
  ["blockCacheHitsTotal", "wavekv_block_cache_hits_total", "Clusters found in the block cache."],
  ["blockCacheMissesTotal", "wavekv_block_cache_misses_total", "Clusters read from the slow tier."],
];

export class NodeMetrics {
  readonly #registry = new Registry();

  readonly requests = new Counter({
    name: "wavekv_http_requests_total",
    help: "HTTP requests by route and status.",
    labelNames: ["route", "status"] as const,
    registers: [this.#registry],
  });
  readonly requestDuration = new Histogram({
    name: "wavekv_http_request_duration_seconds",
    help: "Time from a request's first byte to its answer's last.",
    labelNames: ["route"] as const,
    buckets: DURATION_BUCKETS,
    registers: [this.#registry],
  });
  readonly timeToFirstToken = new Histogram({
    name: "wavekv_time_to_first_token_seconds",
    help: "Time from a request's arrival to its first completion token.",
    buckets: FIRST_TOKEN_BUCKETS,
    registers: [this.#registry],
  });
  readonly interToken = new Histogram({
    name: "wavekv_inter_token_seconds",
    help: "Time between two completion tokens of one request.",
    buckets: INTER_TOKEN_BUCKETS,
    registers: [this.#registry],
  });

  readonly #gauges = GAUGES.map(([, name, help]) => new Gauge({ name, help, registers: [this.#registry] }));
  readonly #counters = COUNTERS.map(([, name, help]) => new Counter({ name, help, registers: [this.#registry] }));
  readonly #phases = new Counter({
    name: "wavekv_engine_phase_seconds_total",
    help: "Time of the engine by phase.",
    labelNames: ["phase"] as const,
    registers: [this.#registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The exposition text; `stats` is null while the model loads. */
  async render(stats: EngineStats | null): Promise<string> {
    if (stats) this.#take(stats);
    return this.#registry.metrics();
  }

  #take(stats: EngineStats): void {
    GAUGES.forEach(([key], index) => {
      this.#gauges[index]?.set(stats[key]);
    });
    // The engine keeps the totals: a counter takes over each by starting again from zero.
    COUNTERS.forEach(([key], index) => {
      this.#counters[index]?.reset();
      this.#counters[index]?.inc(stats[key]);
    });
    this.#phases.reset();
    for (const [phase, ms] of Object.entries(stats.phaseMs)) this.#phases.inc({ phase }, ms / 1000);
  }
}
