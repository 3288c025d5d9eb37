import type { EngineEvent } from "./types.js";

/** The events of one request between the thread that makes them and the reader that takes them. */
export class EventQueue {
  private readonly events: EngineEvent[] = [];
  private error: Error | null = null;
  private wake: (() => void) | null = null;

  push(event: EngineEvent): void {
    // Only the newest progress matters: a slow reader must not pile them up.
    const last = this.events.at(-1);
    if (event.type === "progress" && last?.type === "progress") this.events.pop();
    this.events.push(event);
    this.notify();
  }

  fail(error: Error): void {
    this.error = error;
    this.notify();
  }

  /** The next event; rejects once the queue has failed and is empty. */
  async next(): Promise<EngineEvent> {
    for (;;) {
      const event = this.events.shift();
      if (event) return event;
      if (this.error) throw this.error;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  private notify(): void {
    this.wake?.();
    this.wake = null;
  }
}
