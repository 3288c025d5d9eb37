/** Several generations as one stream of events, each as it comes. */

/** Yields the sources' values with their index. Ending the iteration early, or a source's failure, ends all of them. */
export async function* mergedEvents<T>(
  sources: readonly AsyncGenerator<T, void>[],
  cancel: () => void,
): AsyncGenerator<{ index: number; event: T }, void, undefined> {
  const pending = new Map<number, Promise<{ index: number; result: IteratorResult<T, void> }>>();
  const ask = (index: number) => {
    const next = (sources[index] as AsyncGenerator<T, void>).next().then((result) => ({ index, result }));
    // Of several failures the first is thrown; the others must not count as unhandled.
    next.catch(() => {});
    // Behind the others: a choice that always has something must not keep them waiting.
    pending.delete(index);
    pending.set(index, next);
  };
  sources.forEach((_, index) => {
    ask(index);
  });
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      if (result.done) {
        pending.delete(index);
        continue;
      }
      ask(index);
      yield { index, event: result.value };
    }
  } finally {
    if (pending.size > 0) cancel();
    await Promise.allSettled(sources.map((source) => source.return()));
  }
}
