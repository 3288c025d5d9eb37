import { header, regionOffset, spill } from "./header";
import { CACHED_BYTES, CachedRecord, NONE, REGION_CACHED } from "./layout";

/**
 * The cached clusters in order of age, linked through their records:
 *
 *   newest ──older──> ○ ──older──> ○ ──older──> oldest ──older──> NONE
 *     NONE <──newer── ○ <──newer── ○ <──newer── oldest
 */

/** The record of a cached cluster; an index out of the table gives the spill record. */
// @ts-ignore: decorator
@inline
export function cachedAt(index: u32): CachedRecord {
  if (index >= header().blockCapacity) return changetype<CachedRecord>(spill());
  return changetype<CachedRecord>(regionOffset(REGION_CACHED) + index * CACHED_BYTES);
}

export function resetCachedList(): void {
  const head = header();
  head.newest = NONE;
  head.oldest = NONE;
  head.hand = NONE;
  head.numCached = 0;
}

export function linkNewest(index: u32): void {
  const head = header();
  const cached = cachedAt(index);
  const second = head.newest;
  cached.newer = NONE;
  cached.older = second;
  if (second == NONE) head.oldest = index;
  else cachedAt(second).newer = index;
  head.newest = index;
}

export function unlink(index: u32): void {
  const head = header();
  const cached = cachedAt(index);
  const newer = cached.newer;
  const older = cached.older;
  if (newer == NONE) head.newest = older;
  else cachedAt(newer).older = older;
  if (older == NONE) head.oldest = newer;
  else cachedAt(older).newer = newer;
}
