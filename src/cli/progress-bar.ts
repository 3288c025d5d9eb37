/** Progress on standard error: a bar on a terminal, nothing elsewhere, so that logs and pipes stay clean. */

import { SingleBar } from "cli-progress";
import type { FetchProgress } from "../model/fetch.js";

export interface ProgressBar {
  update(done: number, total: number): void;
  /** Takes the bar off the screen. */
  stop(): void;
}

const HIDDEN: ProgressBar = { update: () => {}, stop: () => {} };

/** `scale` turns a count into what is shown, such as bytes into MB. */
export function createProgressBar(label: string, unit: string, scale = 1): ProgressBar {
  if (!process.stderr.isTTY) return HIDDEN;
  const format = `${label} [{bar}] {percentage}% {value} of {total} ${unit}, {eta_formatted} left`;
  let bar: SingleBar | null = null;
  return {
    update(done, total) {
      if (!bar) {
        bar = new SingleBar({ format, stream: process.stderr, clearOnComplete: true, hideCursor: true, barsize: 28 });
        bar.start(Math.ceil(total / scale), 0);
      }
      bar.update(Math.floor(done / scale));
    },
    stop() {
      bar?.stop();
      bar = null;
    },
  };
}

/** What `resolveModel` wants: a bar for the bytes, a line for what happens beside them. */
export function fetchReporting(model: string): {
  onProgress: (progress: FetchProgress) => void;
  onNotice: (text: string) => void;
  stop: () => void;
} {
  const bar = createProgressBar(`fetching ${model}`, "MB", 1e6);
  return {
    onProgress: ({ receivedBytes, totalBytes }) => bar.update(receivedBytes, totalBytes),
    onNotice: (text) => {
      bar.stop();
      process.stderr.write(`${text}\n`);
    },
    stop: () => bar.stop(),
  };
}
