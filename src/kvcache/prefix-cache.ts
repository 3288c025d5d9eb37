import { createHash } from "node:crypto";
import type { NativeSegment } from "../native/addon.js";

/** A known segment: its tokens, and all tokens before them, are in its id. */
export interface KnownSegment {
  readonly id: string;
  readonly slot: number;
  readonly segment: NativeSegment;
  /** Sequences that hold it now. */
  users: number;
}

/** The id of the segment with these tokens behind `parentId`: a hash chain, so that equal ids mean equal prefixes. */
export function segmentId(parentId: string, tokens: Int32Array): string {
  const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  return createHash("sha256").update(parentId).update(bytes).digest("base64url");
}

/** The parent of every first segment. */
export const ROOT_ID = "";

/**
 * Finished segments by id, so that a prompt which begins like an earlier one does not pay for its prefill again. Those that
 * no sequence holds are idle; they stay until their memory is needed, the longest unused first.
 */
export class PrefixCache {
  /** In order of last use, oldest first. */
  private readonly known = new Map<string, KnownSegment>();
  private idle = 0;

  /** `drop` gives up a segment's slot and memory. */
  constructor(private readonly drop: (segment: KnownSegment) => void) {}

  get numSegments(): number {
    return this.known.size;
  }

  get numIdle(): number {
    return this.idle;
  }

  /** The longest chain of known segments that `tokens` begins with, at most `maxSegments`. Nothing is held yet. */
  longestChain(tokens: Int32Array, segmentTokens: number, maxSegments: number): KnownSegment[] {
    const chain: KnownSegment[] = [];
    let parentId = ROOT_ID;
    while (chain.length < maxSegments) {
      const begin = chain.length * segmentTokens;
      parentId = segmentId(parentId, tokens.subarray(begin, begin + segmentTokens));
      const found = this.known.get(parentId);
      if (!found) break;
      chain.push(found);
    }
    return chain;
  }

  has(id: string): boolean {
    return this.known.has(id);
  }

  /** Takes in a segment that one sequence holds. */
  add(id: string, slot: number, segment: NativeSegment): KnownSegment {
    const known = { id, slot, segment, users: 1 };
    this.known.set(id, known);
    return known;
  }

  hold(segment: KnownSegment): void {
    if (segment.users++ === 0) this.idle--;
    this.touch(segment);
  }

  letGo(segment: KnownSegment): void {
    if (--segment.users === 0) this.idle++;
    this.touch(segment);
  }

  /** Drops idle segments, the longest unused first, until at most `maxIdle` are left. */
  shrink(maxIdle: number): void {
    for (const segment of this.known.values()) {
      if (this.idle <= maxIdle) return;
      if (segment.users > 0) continue;
      this.known.delete(segment.id);
      this.idle--;
      this.drop(segment);
    }
  }

  private touch(segment: KnownSegment): void {
    this.known.delete(segment.id);
    this.known.set(segment.id, segment);
  }
}
