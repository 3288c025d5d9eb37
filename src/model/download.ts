import { open, truncate } from "node:fs/promises";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import { setTimeout as sleep } from "node:timers/promises";
import { describeError, ModelFetchError } from "./fetch-error.js";
import { sizeOf } from "./model-cache.js";

export interface DownloadOptions {
  url: string;
  partPath: string;
  sizeBytes: number;
  /** Bytes of the part file so far, those of earlier attempts included. */
  onBytes: (receivedBytes: number) => void;
  signal?: AbortSignal;
  timing?: Partial<DownloadTiming>;
}

export interface DownloadTiming {
  /** Longest wait for the headers of an answer. */
  connectMs: number;
  /** Longest pause between two pieces of a body. */
  stallMs: number;
  /** First pause before another attempt; it doubles with each attempt that brought nothing. */
  retryMs: number;
  /** Attempts in a row that may bring nothing. */
  maxIdleAttempts: number;
}

const DEFAULT_TIMING: DownloadTiming = { connectMs: 15_000, stallMs: 30_000, retryMs: 500, maxIdleAttempts: 5 };

/** An answer that another attempt may better: the connection broke, or the server is busy. */
class RetryableError extends Error {}

/**
 * Fetches `url` into the part file until it has `sizeBytes`, continuing where an earlier attempt, or an earlier
 * process, stopped. Throws ModelFetchError when the server refuses or several attempts in a row bring nothing.
 */
export async function downloadToPart(options: DownloadOptions): Promise<void> {
  const timing = { ...DEFAULT_TIMING, ...options.timing };
  let idleAttempts = 0;
  for (;;) {
    const before = await usableBytes(options);
    if (before === options.sizeBytes) return;
    try {
      await attempt(options, before, timing);
      continue;
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof RetryableError)) throw error;
      idleAttempts = (await sizeOf(options.partPath)) > before ? 0 : idleAttempts + 1;
      if (idleAttempts >= timing.maxIdleAttempts) {
        const message = `gave up after ${idleAttempts} attempts that brought nothing: ${describeError(error)}`;
        throw new ModelFetchError("unavailable", message, { cause: error });
      }
    }
    await sleep(timing.retryMs * 2 ** idleAttempts, undefined, { signal: options.signal });
  }
}

async function usableBytes({ partPath, sizeBytes }: DownloadOptions): Promise<number> {
  const have = await sizeOf(partPath);
  if (have <= sizeBytes) return have;
  await truncate(partPath, 0);
  return 0;
}

/** One request; returns when its body ended at the file's full size. */
async function attempt(options: DownloadOptions, haveBytes: number, timing: DownloadTiming): Promise<void> {
  const watchdog = new Watchdog(timing.connectMs, options.signal);
  try {
    const response = await fetch(options.url, {
      headers: { "accept-encoding": "identity", ...(haveBytes > 0 ? { range: `bytes=${haveBytes}-` } : {}) },
      signal: watchdog.signal,
    }).catch((error: unknown) => {
      throw new RetryableError("no answer", { cause: error });
    });
    const startBytes = await startOfBody(response, haveBytes, options);
    await writeBody(response, startBytes, options, () => watchdog.restart(timing.stallMs));
  } finally {
    watchdog.stop();
  }
}

/** Where the body's first byte belongs: a server that does not know ranges starts again at 0. */
async function startOfBody(response: Response, haveBytes: number, options: DownloadOptions): Promise<number> {
  if (response.status === 200) return 0;
  if (response.status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
    const total = range?.[2];
    if (range && Number(range[1]) === haveBytes && (total === "*" || Number(total) === options.sizeBytes)) {
      return haveBytes;
    }
  }
  await response.body?.cancel();
  if (response.status === 206 || response.status === 416) {
    // The part file does not fit what the server has now: start over.
    await truncate(options.partPath, 0);
    throw new RetryableError(`the server's range does not continue the part file (status ${response.status})`);
  }
  const message = `the server answered with status ${response.status}`;
  if (response.status >= 500 || response.status === 429) throw new RetryableError(message);
  throw new ModelFetchError("unavailable", message);
}

async function writeBody(
  response: Response,
  startBytes: number,
  { partPath, sizeBytes, onBytes }: DownloadOptions,
  onPiece: () => void,
): Promise<void> {
  if (!response.body) throw new RetryableError("the answer has no body");
  let received = startBytes;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length;
      if (received > sizeBytes) {
        done(new ModelFetchError("unavailable", `the server sent more than the expected ${sizeBytes} bytes`));
        return;
      }
      onPiece();
      onBytes(received);
      done(null, chunk);
    },
  });
  const file = await open(partPath, startBytes === 0 ? "w" : "r+");
  const body = Readable.fromWeb(response.body as ReadableStream<Uint8Array>);
  try {
    await pipeline(body, count, file.createWriteStream({ start: startBytes }));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof ModelFetchError || code === "ENOSPC" || code === "EDQUOT") throw error;
    throw new RetryableError(`the connection broke at ${received} of ${sizeBytes} bytes`, { cause: error });
  }
  if (received < sizeBytes) throw new RetryableError(`the answer ended at ${received} of ${sizeBytes} bytes`);
}

/** Aborts its signal when it is not restarted in time. */
class Watchdog {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout;

  constructor(firstMs: number, outer?: AbortSignal) {
    this.signal = outer ? AbortSignal.any([outer, this.#controller.signal]) : this.#controller.signal;
    this.#timer = this.#arm(firstMs);
  }

  restart(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = this.#arm(ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #arm(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#controller.abort(new Error(`nothing received for ${ms / 1000} s`)), ms);
  }
}
