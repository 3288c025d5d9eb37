import { CallerError } from "../errors.js";
import type { BatchEntry } from "../scheduler/batch.js";
import { LogitRules, NO_RULES } from "../scheduler/logit-rules.js";
import { Scheduler } from "../scheduler/scheduler.js";
import { Sequence } from "../scheduler/sequence.js";
import { Grammars } from "./grammars.js";
import type { LoadedModel } from "./load.js";
import { MAX_QUEUED, PREFILL_CHUNK_TOKENS } from "./options.js";
import { attentionReport, timings } from "./report.js";
import type { AttentionMode, EngineEvent, EngineStats, FinishReason, GenerateRequest, TokenLogprobs } from "./types.js";

/** Where a request's events go. `failed` ends it as `finished` does. */
export interface EventSink {
  event(requestId: string, event: EngineEvent): void;
  failed(requestId: string, error: Error): void;
}

/** The engine: requests in, events out, one step() at a time. Lives on the engine thread; knows no thread itself. */
export class Engine {
  private readonly scheduler: Scheduler;
  private readonly grammars: Grammars;
  private promptTokensTotal = 0;
  private completionTokensTotal = 0;
  private stepsTotal = 0;
  private indexBuildMs = 0;
  private sampleMs = 0;

  constructor(
    private readonly model: LoadedModel,
    private readonly defaultMode: AttentionMode,
    private readonly sink: EventSink,
  ) {
    this.grammars = new Grammars(model.modelInfo.vocabSize);
    this.scheduler = new Scheduler({
      maxParallel: model.info.maxParallel,
      prefillChunkTokens: PREFILL_CHUNK_TOKENS,
      tryStart: (sequence) => this.tryStart(sequence),
      wantsWave: (sequence) => this.wantsWave(sequence),
    });
  }

  /** Queues a request. Throws CallerError where it can never run, or the queue is full. */
  submit(request: GenerateRequest): void {
    const { contextTokens } = this.model.info;
    const length = request.promptTokens.length + request.maxTokens;
    if (request.promptTokens.length === 0)
      throw new CallerError("invalid_request_error", "the prompt is empty", "prompt");
    if (length > contextTokens) {
      throw new CallerError(
        "context_length_exceeded",
        `${request.promptTokens.length} prompt tokens and ${request.maxTokens} completion tokens are ${length}, ` +
          `the context holds ${contextTokens}`,
        "max_tokens",
      );
    }
    const bytes = this.model.kvCache.bytesFor(length);
    if (bytes > this.model.kvCache.budgetBytes) {
      throw new CallerError(
        "request_too_large",
        `a sequence of ${length} tokens needs ${bytes} bytes of KV cache, there are ${this.model.kvCache.budgetBytes}`,
        "max_tokens",
      );
    }
    if (this.scheduler.numWaiting >= MAX_QUEUED) {
      throw new CallerError("rate_limit_exceeded", `${this.scheduler.numWaiting} requests are waiting already`);
    }
    const stopTokens = new Set(request.stopTokens);
    const constraint = request.constraint ? this.grammars.constraint(request.constraint, stopTokens) : null;
    const logits = request.logits ?? (constraint ? NO_RULES : null);
    this.scheduler.add(
      new Sequence({
        id: request.requestId,
        promptTokens: request.promptTokens,
        maxTokens: request.maxTokens,
        stopTokens,
        sampling: request.sampling,
        attentionMode: request.attention.mode,
        retrievalBudget: request.attention.retrievalBudget ?? this.model.wave.retrievalBudget,
        rules: logits ? new LogitRules(logits, request.promptTokens) : null,
        constraint,
        topLogprobs: request.topLogprobs ?? null,
        leaderId: request.forkOf ?? null,
      }),
    );
  }

  /** Ends a sequence without further events; unknown ids are ignored, since it may have ended already. */
  cancel(requestId: string): void {
    const sequence = this.scheduler.remove(requestId);
    if (sequence?.lease) this.model.kvCache.release(sequence.lease);
  }

  /** Ends a running sequence as a stop would, with its last event; ignored where it has not started or has ended. */
  finishEarly(requestId: string): void {
    const sequence = this.scheduler.find(requestId);
    if (sequence?.lease) this.finish(sequence, "stop");
  }

  /** Schedule, run, sample, publish. Returns false when there was nothing to do. */
  step(): boolean {
    const batch = this.scheduler.schedule();
    if (!batch) return false;
    try {
      this.run(batch.entries);
    } catch (error) {
      for (const entry of batch.entries) this.fail(entry.sequence, error as Error);
      return true;
    }
    this.stepsTotal++;
    for (const [index, entry] of batch.entries.entries()) {
      try {
        if (!entry.decode) this.publishProgress(entry);
        if (entry.wantsToken && !entry.decode) this.forkFollowers(index, entry.sequence);
        if (entry.wantsToken) this.sampleToken(index, entry.sequence);
      } catch (error) {
        this.fail(entry.sequence, error as Error);
      }
    }
    return true;
  }

  stats(): EngineStats {
    const { kvCache, runner } = this.model;
    const controlPlane = kvCache.controlPlane.stats();
    return {
      queued: this.scheduler.numWaiting,
      running: this.scheduler.numRunning,
      promptTokensTotal: this.promptTokensTotal,
      completionTokensTotal: this.completionTokensTotal,
      stepsTotal: this.stepsTotal,
      kvBytesUsed: kvCache.usedBytes,
      kvBytesTotal: kvCache.budgetBytes,
      segmentsLive: controlPlane.segmentsLive,
      blockCacheHitsTotal: controlPlane.hits,
      blockCacheMissesTotal: controlPlane.misses,
      phaseMs: { ...runner.phaseMs, indexBuild: this.indexBuildMs, sample: this.sampleMs },
    };
  }

  /** Throws where the books of the KV cache disagree. */
  checkIntegrity(): void {
    this.model.kvCache.checkIntegrity();
  }

  private run(entries: readonly BatchEntry[]): void {
    const { runner, kvCache } = this.model;
    runner.run(
      entries.map((entry) => ({
        sequence: entry.sequence.lease!.sequence,
        tokens: entry.tokens,
        decode: entry.decode,
        wave: entry.wave,
        retrievalBudget: entry.sequence.options.retrievalBudget,
        wantsLogits: entry.wantsToken,
      })),
    );
    for (const { sequence, wave, decode, tokens } of entries) {
      if (wave) sequence.usedWave = true;
      if (!decode) sequence.prefilled += tokens.length;
      const before = performance.now();
      if (kvCache.append(sequence.lease!, tokens) === 0) continue;
      sequence.indexBuildMs += performance.now() - before;
      this.indexBuildMs += performance.now() - before;
    }
  }

  /** Draws a sequence's next token from an entry's logits, and publishes it. */
  private sampleToken(entryIndex: number, sequence: Sequence): void {
    const { native } = this.model;
    const { sampling, rules, constraint, topLogprobs } = sequence.options;
    const before = performance.now();
    const adjustments = rules?.adjustments(constraint?.allowed() ?? null) ?? null;
    const tokenId = native.sample(entryIndex, sampling, sequence.nextUniform(), adjustments);
    const logprobs = topLogprobs === null ? undefined : native.logprobs(entryIndex, tokenId, topLogprobs);
    this.sampleMs += performance.now() - before;
    this.publishToken(sequence, tokenId, logprobs);
  }

  /**
   * The prompt of a leader is in the KV cache: followers that fit begin from a copy, with tokens drawn from the same logits.
   * Those that do not fit now start later as others do.
   */
  private forkFollowers(entryIndex: number, leader: Sequence): void {
    for (const follower of this.scheduler.followersOf(leader.id)) {
      if (!this.scheduler.hasRoom) return;
      const lease = this.model.kvCache.tryFork(leader.lease!, follower.maxLength);
      if (!lease) return;
      follower.lease = lease;
      follower.prefilled = follower.options.promptTokens.length;
      follower.startedAtMs = performance.now();
      this.scheduler.startForked(follower);
      try {
        this.sendProgress(follower);
        this.sampleToken(entryIndex, follower);
      } catch (error) {
        this.fail(follower, error as Error);
      }
    }
  }

  private publishProgress({ sequence, tokens }: BatchEntry): void {
    this.promptTokensTotal += tokens.length;
    this.sendProgress(sequence);
  }

  private sendProgress(sequence: Sequence): void {
    const total = sequence.options.promptTokens.length;
    this.sink.event(sequence.id, {
      type: "progress",
      processed: sequence.prefilled,
      total,
      cached: sequence.lease!.cachedTokens,
      elapsedMs: performance.now() - sequence.startedAtMs,
    });
  }

  private publishToken(sequence: Sequence, tokenId: number, logprobs?: TokenLogprobs): void {
    if (sequence.firstTokenAtMs === 0) sequence.firstTokenAtMs = performance.now();
    if (sequence.options.stopTokens.has(tokenId)) {
      this.finish(sequence, "stop");
      return;
    }
    sequence.lastToken = tokenId;
    sequence.numCompletionTokens++;
    sequence.options.rules?.accept(tokenId);
    sequence.options.constraint?.accept(tokenId);
    this.completionTokensTotal++;
    this.sink.event(sequence.id, { type: "token", tokenId, logprobs });
    if (sequence.numCompletionTokens >= sequence.options.maxTokens) this.finish(sequence, "length");
  }

  private finish(sequence: Sequence, reason: FinishReason): void {
    const { kvCache } = this.model;
    const lease = sequence.lease!;
    const zones = lease.sequence.zones();
    const report = attentionReport(sequence, zones, lease.sequence.numSegments, kvCache.geometry);
    this.cancel(sequence.id);
    this.sink.event(sequence.id, {
      type: "finished",
      reason,
      promptTokens: sequence.options.promptTokens.length,
      cachedTokens: lease.cachedTokens,
      completionTokens: sequence.numCompletionTokens,
      report,
      timings: timings(sequence, performance.now()),
    });
  }

  private fail(sequence: Sequence, error: Error): void {
    this.cancel(sequence.id);
    this.sink.failed(sequence.id, error);
  }

  private tryStart(sequence: Sequence): boolean {
    const leader = sequence.options.leaderId === null ? undefined : this.scheduler.find(sequence.options.leaderId);
    if (leader?.inPrefill) return false;
    const lease = this.model.kvCache.tryLease(sequence.maxLength, sequence.options.promptTokens);
    if (!lease) return false;
    sequence.lease = lease;
    sequence.prefilled = lease.cachedTokens;
    sequence.startedAtMs = performance.now();
    return true;
  }

  private wantsWave(sequence: Sequence): boolean {
    const mode = sequence.options.attentionMode ?? this.defaultMode;
    return mode === "wave" && sequence.lease!.sequence.numSegments > 0;
  }
}
