import { blockAt, blockOf, blocksOf } from "./block-cache";
import { cachedAt } from "./cached-list";
import { clusterAt, rowCount } from "./cluster-table";
import {
  FAULT_BLOCK_OWNER,
  FAULT_BLOCKS_USED,
  FAULT_CACHED_CLUSTER,
  FAULT_FREE_BLOCKS,
  FAULT_NUM_CACHED,
  FAULT_POLICY_HAND,
  FAULT_POLICY_LIST,
} from "./errors";
import { POLICY_SIEVE } from "./geometry";
import { header, refuse } from "./header";
import { BLOCKS_PER_CLUSTER, NONE } from "./layout";

/**
 * The policy's list holds each cached cluster once: records name their cluster and clusters name their record, so no
 * record can stand for two, and the number of clusters that name one equals the list's length.
 */
export function checkCachedClusters(): i32 {
  const head = header();
  let newer = NONE;
  let index = head.newest;
  let handSeen = head.hand == NONE;
  let blocksUsed: u32 = 0;
  for (let seen: u32 = 0; seen < head.numCached; seen++) {
    if (index >= head.blockCapacity) return refuse(FAULT_POLICY_LIST, 0, seen, index);
    const cached = cachedAt(index);
    if (cached.newer != newer) return refuse(FAULT_POLICY_LIST, 0, seen, cached.newer);
    const code = checkCached(index);
    if (code < 0) return code;
    blocksUsed += blocksOf(clusterAt(cached.handle).size);
    handSeen = handSeen || head.hand == index;
    newer = index;
    index = cached.older;
  }
  if (index != NONE || head.oldest != newer) return refuse(FAULT_POLICY_LIST, 0, head.numCached, index);
  if (!handSeen || (head.policy != POLICY_SIEVE && head.hand != NONE)) return refuse(FAULT_POLICY_HAND, 0, 0, head.hand);
  if (head.blocksUsed != <u64>blocksUsed) return refuse(FAULT_BLOCKS_USED, 0, 0, blocksUsed);
  const numNamed = countCachedClusters();
  if (numNamed != head.numCached) return refuse(FAULT_NUM_CACHED, 0, numNamed, head.numCached);
  return 0;
}

/** One record: its cluster is published and names it back; its blocks are its own and distinct; the rest is NONE. */
function checkCached(index: u32): i32 {
  const head = header();
  const cached = cachedAt(index);
  const handle = cached.handle;
  const rowIndex = handle / head.maxClusters;
  if (handle - rowIndex * head.maxClusters >= rowCount(rowIndex)) return refuse(FAULT_CACHED_CLUSTER, 0, index, handle);
  const cluster = clusterAt(handle);
  if (cluster.cachedIndex != index) return refuse(FAULT_CACHED_CLUSTER, 0, index, handle);
  const numBlocks = blocksOf(cluster.size);
  if (cached.block0 != index) return refuse(FAULT_BLOCK_OWNER, 0, index, cached.block0);
  for (let place: u32 = 0; place < BLOCKS_PER_CLUSTER; place++) {
    const block = blockOf(cached, place);
    if (place >= numBlocks) {
      if (block != NONE) return refuse(FAULT_BLOCK_OWNER, place, index, block);
      continue;
    }
    if (block >= head.blockCapacity || blockAt(block).cachedIndex != index) {
      return refuse(FAULT_BLOCK_OWNER, place, index, block);
    }
    for (let before: u32 = 0; before < place; before++) {
      if (blockOf(cached, before) == block) return refuse(FAULT_BLOCK_OWNER, place, index, block);
    }
  }
  return 0;
}

/** Clusters of published segments that name a cached record. */
function countCachedClusters(): u32 {
  const head = header();
  let numNamed: u32 = 0;
  for (let rowIndex: u32 = 0; rowIndex < head.numRowsTotal; rowIndex++) {
    const numClusters = rowCount(rowIndex);
    for (let index: u32 = 0; index < numClusters; index++) {
      if (clusterAt(rowIndex * head.maxClusters + index).cachedIndex != NONE) numNamed++;
    }
  }
  return numNamed;
}

/** Free + used = all; the free list holds the blocks without an owner, each once. */
export function checkBlocks(): i32 {
  const head = header();
  const capacity = head.blockCapacity;
  let numFree: u32 = 0;
  for (let index: u32 = 0; index < capacity; index++) {
    const block = blockAt(index);
    if (block.cachedIndex == NONE) numFree++;
    else if (block.nextFree != NONE) return refuse(FAULT_FREE_BLOCKS, 0, index, block.nextFree);
  }
  if (numFree != head.numFreeBlocks) return refuse(FAULT_FREE_BLOCKS, 0, numFree, head.numFreeBlocks);
  // With the owners of checkCachedClusters(): as many blocks have an owner as the cached clusters list.
  if (head.blocksTotal != <u64>capacity || head.blocksUsed + <u64>numFree != <u64>capacity) {
    return refuse(FAULT_BLOCKS_USED, 0, numFree, capacity);
  }
  let seen: u32 = 0;
  let index = head.freeBlock;
  for (; seen < numFree && index < capacity; seen++) {
    const block = blockAt(index);
    if (block.cachedIndex != NONE) return refuse(FAULT_FREE_BLOCKS, 0, index, block.cachedIndex);
    index = block.nextFree;
  }
  if (seen != numFree || index != NONE) return refuse(FAULT_FREE_BLOCKS, 0, seen, index);
  return 0;
}
