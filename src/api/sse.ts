/** Server-sent events: frames, pings while nothing else is due, and a body that never runs ahead of its reader. */

/** One event; `JSON.stringify` leaves no line break in it. */
export function dataFrame(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** An event named by its own `type`, as Anthropic's and OpenAI's newer APIs send them. */
export function eventFrame(value: { type: string; [field: string]: unknown }): string {
  return `event: ${value.type}\n${dataFrame(value)}`;
}

export const DONE_FRAME = "data: [DONE]\n\n";

/** A comment, which clients skip: it keeps the connection alive through proxies. */
export function commentFrame(text: string): string {
  return `: ${text}\n\n`;
}

export const SSE_HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache, no-transform",
  // Asks reverse proxies not to hold frames back.
  "x-accel-buffering": "no",
};

export const PING = Symbol("ping");

/**
 * Yields what `source` yields, and PING whenever it has been silent for `intervalMs`.
 * `first` is a call of `source.next()` that was made already.
 */
export async function* withPings<T>(
  source: AsyncIterator<T, void>,
  first: Promise<IteratorResult<T, void>>,
  intervalMs: number,
): AsyncGenerator<T | typeof PING, void, undefined> {
  let next = first;
  while (true) {
    const result = await within(next, intervalMs);
    if (result === PING) {
      yield PING;
      continue;
    }
    if (result.done) return;
    yield result.value;
    next = source.next();
  }
}

/** The promise's value, or PING if it takes longer than `limitMs`. */
export async function within<T>(promise: Promise<T>, limitMs: number): Promise<T | typeof PING> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<typeof PING>((resolve) => {
    timer = setTimeout(resolve, limitMs, PING).unref();
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A response body over `frames`: the next frame is asked for only when the reader has taken the last one, so a slow
 * reader holds one frame, not a queue. `onCancel` is called when the reader leaves.
 */
export function frameBody(
  frames: AsyncIterator<string, void>,
  onCancel: () => Promise<void>,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await frames.next();
        if (done) controller.close();
        else controller.enqueue(encoder.encode(value));
      },
      cancel: onCancel,
    },
    { highWaterMark: 0 },
  );
}
