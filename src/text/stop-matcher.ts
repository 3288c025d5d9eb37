import { CallerError } from "../errors.js";

export interface StopMatch {
  /** Text that can be sent: no part of it belongs to a stop string, whatever follows. */
  readonly emit: string;
  /** The stop string that was found, null while none is. */
  readonly matched: string | null;
}

/**
 * Finds stop strings in streamed text. The first one to be complete wins (of several that end together, the longest), so the
 * outcome does not depend on how the text is cut into pushes. Only the end of the text that may yet become a stop string is held back.
 */
export class StopMatcher {
  private pending = "";
  private matched: string | null = null;
  private readonly stops: readonly string[];

  /** Throws CallerError on an empty stop string, which would end every answer at once. */
  constructor(stops: readonly string[]) {
    if (stops.includes("")) throw new CallerError("invalid_request_error", "a stop string must not be empty", "stop");
    this.stops = stops;
  }

  /** After a match everything further is dropped: the answer has ended. */
  push(text: string): StopMatch {
    if (this.matched !== null) return { emit: "", matched: this.matched };
    const seen = this.pending + text;
    const found = this.firstComplete(seen);
    if (found !== null) {
      this.pending = "";
      this.matched = found.stop;
      return { emit: seen.slice(0, found.end - found.stop.length), matched: found.stop };
    }
    const held = this.heldLength(seen);
    this.pending = seen.slice(seen.length - held);
    return { emit: seen.slice(0, seen.length - held), matched: null };
  }

  /** The text has ended: what was held back is no stop string after all. */
  end(): StopMatch {
    const emit = this.pending;
    this.pending = "";
    return { emit, matched: this.matched };
  }

  private firstComplete(seen: string): { stop: string; end: number } | null {
    let first: { stop: string; end: number } | null = null;
    for (const stop of this.stops) {
      const start = seen.indexOf(stop);
      if (start < 0) continue;
      const end = start + stop.length;
      const isEarlier = first === null || end < first.end || (end === first.end && stop.length > first.stop.length);
      if (isEarlier) first = { stop, end };
    }
    return first;
  }

  /** Length of the longest end of `seen` that begins a stop string. */
  private heldLength(seen: string): number {
    let held = 0;
    for (const stop of this.stops)
      for (let length = Math.min(stop.length - 1, seen.length); length > held; length--)
        if (seen.endsWith(stop.slice(0, length))) held = length;
    return held;
  }
}
