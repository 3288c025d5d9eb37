// @ts-check
// Signals under npm: a Ctrl-C reaches the server twice, once from the terminal and once more through npm. The server
// takes a second signal as "at once", so a repetition within moments must not count.
import { constants } from "node:os";

/** People are slower than this, and copies of one signal are faster. */
const REPEAT_MS = 500;

/**
 * Ignores copies of a signal; a real second one ends the process at once, as does the first while nobody else listens.
 */
export function ignoreSignalCopies() {
  /** @type {number | undefined} */
  let firstAt;
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
    process.on(signal, () => {
      const now = performance.now();
      const isFirst = firstAt === undefined;
      firstAt ??= now;
      const isHandled = isFirst ? process.listenerCount(signal) > 1 : now - firstAt < REPEAT_MS;
      if (!isHandled) process.exit(128 + constants.signals[signal]);
    });
  }
}
