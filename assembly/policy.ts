import { cachedAt, linkNewest, unlink } from "./cached-list";
import { POLICY_SIEVE } from "./geometry";
import { header } from "./header";
import { NONE } from "./layout";

/**
 * The replacement policy: which cached cluster leaves when blocks are needed. A policy sees four events, each O(1):
 * a hit, an admission, a removal and the search for a victim (SIEVE: amortised over the steps). A new policy adds a
 * branch to each. A cluster that the current step referenced is never a victim.
 *
 *   LRU    a hit moves the cluster to the newest end; the victim is the oldest.
 *   SIEVE  a hit marks the cluster visited; a hand walks from the oldest to the newest end, clears the marks it meets and
 *          takes the first cluster without one (Zhang et al., NSDI 2024).
 */

/** Bit 0 of CachedRecord.mark; the other bits hold the step of the last reference. */
const VISITED: u32 = 1;

// A stale mark could equal the current step again after 2^31 steps; the cluster would then stay one step longer.
// @ts-ignore: decorator
@inline
function stepMark(): u32 {
  return header().step << 1;
}

// @ts-ignore: decorator
@inline
function isReferenced(mark: u32): bool {
  return mark >>> 1 == (header().step & 0x7fffffff);
}

export function policyHit(index: u32): void {
  const head = header();
  cachedAt(index).mark = stepMark() | VISITED;
  if (head.policy == POLICY_SIEVE || head.newest == index) return;
  unlink(index);
  linkNewest(index);
}

export function policyAdmit(index: u32): void {
  cachedAt(index).mark = stepMark();
  linkNewest(index);
  header().numCached++;
}

export function policyRemove(index: u32): void {
  const head = header();
  if (head.hand == index) head.hand = cachedAt(index).newer;
  unlink(index);
  head.numCached--;
}

/** The cached cluster to evict, or NONE when the step references them all. */
export function policyVictim(): u32 {
  return header().policy == POLICY_SIEVE ? sieveVictim() : lruVictim();
}

/** What the step referenced is newer than all else, so only the oldest has to be asked. */
function lruVictim(): u32 {
  const oldest = header().oldest;
  if (oldest == NONE || isReferenced(cachedAt(oldest).mark)) return NONE;
  return oldest;
}

function sieveVictim(): u32 {
  const head = header();
  // Two rounds see every cluster once with its mark cleared; one more step reaches the start again.
  const bound: u64 = 2 * <u64>head.numCached + 1;
  let index = head.hand;
  for (let seen: u64 = 0; seen < bound && !head.corrupt; seen++) {
    if (index == NONE) index = head.oldest;
    if (index == NONE) return NONE;
    const cached = cachedAt(index);
    if (!isReferenced(cached.mark)) {
      if (!(cached.mark & VISITED)) {
        head.hand = index;
        return index;
      }
      cached.mark &= ~VISITED;
    }
    index = cached.newer;
  }
  return NONE;
}
