import { cachedAt, resetCachedList } from "./cached-list";
import { clusterAt, rowCount } from "./cluster-table";
import { header, regionOffset, spill } from "./header";
import {
  BLOCK_BYTES,
  BLOCK_VECTORS,
  BLOCKS_PER_CLUSTER,
  BlockRecord,
  CACHED_BLOCKS_OFFSET,
  CachedRecord,
  MAX_CLUSTER_SIZE,
  NONE,
  REGION_BLOCKS,
} from "./layout";
import { policyAdmit, policyRemove, policyVictim } from "./policy";

/** The record of a block; an index out of the table gives the spill record. */
export function blockAt(index: u32): BlockRecord {
  if (index >= header().blockCapacity) return changetype<BlockRecord>(spill());
  return changetype<BlockRecord>(regionOffset(REGION_BLOCKS) + index * BLOCK_BYTES);
}

/** Blocks of a cluster of `size` vectors; a size out of bounds marks the tables corrupt and counts as one block. */
export function blocksOf(size: u32): u32 {
  if (size - 1 >= MAX_CLUSTER_SIZE) {
    spill();
    return 1;
  }
  return (size + BLOCK_VECTORS - 1) / BLOCK_VECTORS;
}

/** Block `place` < BLOCKS_PER_CLUSTER of a cached cluster. */
// @ts-ignore: decorator
@inline
export function blockOf(cached: CachedRecord, place: u32): u32 {
  return load<u32>(changetype<usize>(cached) + CACHED_BLOCKS_OFFSET + ((place & (BLOCKS_PER_CLUSTER - 1)) << 2));
}

/** Empties the cache; the lowest block is taken first. */
export function resetBlocks(): void {
  const head = header();
  const capacity = head.blockCapacity;
  for (let index: u32 = 0; index < capacity; index++) {
    const block = blockAt(index);
    block.cachedIndex = NONE;
    block.nextFree = index + 1 < capacity ? index + 1 : NONE;
  }
  head.freeBlock = capacity > 0 ? 0 : NONE;
  head.numFreeBlocks = capacity;
  head.blocksUsed = 0;
  head.blocksTotal = capacity;
  resetCachedList();
}

/** Evicts by policy until `needed` blocks are free; false when the step's own clusters hold the rest. */
export function makeRoom(needed: u32): bool {
  const head = header();
  // Every eviction frees a block or more, so blockCapacity rounds are enough.
  for (let round: u32 = 0; round < head.blockCapacity; round++) {
    if (head.numFreeBlocks >= needed) return true;
    const victim = policyVictim();
    if (victim == NONE || head.corrupt) return false;
    evict(victim);
  }
  return head.numFreeBlocks >= needed;
}

/** Removes a cached cluster; its blocks become free. */
export function evict(cachedIndex: u32): void {
  const head = header();
  const cached = cachedAt(cachedIndex);
  const cluster = clusterAt(cached.handle);
  const numBlocks = blocksOf(cluster.size);
  policyRemove(cachedIndex);
  cluster.cachedIndex = NONE;
  for (let place = numBlocks; place > 0; place--) {
    const index = blockOf(cached, place - 1);
    const block = blockAt(index);
    block.cachedIndex = NONE;
    block.nextFree = head.freeBlock;
    head.freeBlock = index;
  }
  head.numFreeBlocks += numBlocks;
  head.blocksUsed -= numBlocks;
  head.evictions++;
}

/** Gives a cluster its blocks, numFreeBlocks >= blocksOf(size) being checked; returns its cached record. */
export function admit(handle: u32): CachedRecord {
  const head = header();
  const cluster = clusterAt(handle);
  const numBlocks = blocksOf(cluster.size);
  const cachedIndex = head.freeBlock;
  const cached = cachedAt(cachedIndex);
  cached.handle = handle;
  for (let place: u32 = 0; place < BLOCKS_PER_CLUSTER; place++) {
    const index = place < numBlocks ? head.freeBlock : NONE;
    store<u32>(changetype<usize>(cached) + CACHED_BLOCKS_OFFSET + (place << 2), index);
    if (place >= numBlocks) continue;
    const block = blockAt(index);
    head.freeBlock = block.nextFree;
    block.cachedIndex = cachedIndex;
    block.nextFree = NONE;
  }
  cluster.cachedIndex = cachedIndex;
  head.numFreeBlocks -= numBlocks;
  head.blocksUsed += numBlocks;
  head.admissions++;
  policyAdmit(cachedIndex);
  return cached;
}

/** Evicts every cached cluster of a slot. */
export function evictSlot(slot: u32): void {
  const head = header();
  const rows = head.rowsPerSegment;
  for (let row: u32 = 0; row < rows; row++) {
    const rowIndex = slot * rows + row;
    const numClusters = rowCount(rowIndex);
    for (let index: u32 = 0; index < numClusters; index++) {
      const cachedIndex = clusterAt(rowIndex * head.maxClusters + index).cachedIndex;
      if (cachedIndex != NONE) evict(cachedIndex);
    }
  }
}
