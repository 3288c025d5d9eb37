/**
 * The memory, drawn. One header, then ten regions, each starting on a cache line (64 bytes):
 *
 *   0        1024     1536
 *   ┌────────┬────────┬──────────┬───────────┬──────────┬────────┬────────┬─────────┬────────┬─────────┬──────┬────────────┐
 *   │ unused │ header │ segments │ rowCounts │ clusters │ cached │ blocks │ pending │ ingest │ request │ plan │ admissions │
 *   └────────┴────────┴──────────┴───────────┴──────────┴────────┴────────┴─────────┴────────┴─────────┴──────┴────────────┘
 *             tables: written by this module only ........................  native writes ....  native reads .....
 *
 * L layers, H KV heads, C = maxClusters, S segment slots, B blocks, R rows of a lookup, M clusters selected per row:
 *
 *   segments    SegmentRecord          [S]              16 bytes each
 *   rowCounts   u16 clusters of a row  [S, L, H]        0 while the slot is not published
 *   clusters    ClusterRecord          [S, L, H, C]     8 bytes each, indexed by the cluster handle
 *   cached      CachedRecord           [B]              32 bytes each, indexed by the cluster's first block
 *   blocks      BlockRecord            [B]              8 bytes each
 *   pending     u32 cluster handle     [P]              P = min(B, L * R * M): the step's misses that may be admitted
 *   ingest      u16 numClusters        [L, H]           then u16 sizes [L, H, C]
 *   request     u32 numSelected, u32 handles[M]         [R]
 *   plan        PlanHeader, PlanRange[4 * M]            [R]
 *   admissions  AdmissionRecord        [P]              36 bytes each
 */

/** Vectors of one block. */
export const BLOCK_VECTORS: u32 = 8;
export const MAX_CLUSTER_SIZE: u32 = 32;
export const BLOCKS_PER_CLUSTER: u32 = MAX_CLUSTER_SIZE / BLOCK_VECTORS;
/** "No index": ends every list. */
export const NONE: u32 = 0xffffffff;

export const REGION_SEGMENTS: u32 = 0;
export const REGION_ROW_COUNTS: u32 = 1;
export const REGION_CLUSTERS: u32 = 2;
export const REGION_CACHED: u32 = 3;
export const REGION_BLOCKS: u32 = 4;
export const REGION_PENDING: u32 = 5;
export const REGION_INGEST: u32 = 6;
export const REGION_REQUEST: u32 = 7;
export const REGION_PLAN: u32 = 8;
export const REGION_ADMISSIONS: u32 = 9;
export const NUM_REGIONS: u32 = 10;

export const SLOT_FREE: u32 = 0;
/** Allocated; native is still filling the segment. */
export const SLOT_OPEN: u32 = 1;
export const SLOT_PUBLISHED: u32 = 2;

/**
 *   0         4            8         12         16
 *   ┌─────────┬────────────┬─────────┬──────────┐
 *   │ state   │ references │ inPlace │ nextFree │
 *   └─────────┴────────────┴─────────┴──────────┘
 */
@unmanaged
export class SegmentRecord {
  state: u32;
  references: u32;
  /** 1: fast tier, attended in place; 0: slow tier, read through the block cache. */
  inPlace: u32;
  /** Next free slot while this one is free, else NONE. */
  nextFree: u32;
}
export const SEGMENT_BYTES: u32 = 16;

/**
 *   0       2      3       4             8
 *   ┌───────┬──────┬───────┬─────────────┐
 *   │ start │ size │ flags │ cachedIndex │
 *   └───────┴──────┴───────┴─────────────┘
 */
@unmanaged
export class ClusterRecord {
  /** Token offset in the row's cluster-ordered arrays: < 65,536. */
  start: u16;
  /** 1..MAX_CLUSTER_SIZE tokens. */
  size: u8;
  flags: u8;
  /** Its CachedRecord, or NONE. */
  cachedIndex: u32;
}
export const CLUSTER_BYTES: u32 = 8;
export const CLUSTER_SHIFT: u32 = 3;
/** Copied from the segment, so that a lookup reads one record per cluster. */
export const CLUSTER_IN_PLACE: u8 = 1;
/** In the pending list. */
export const CLUSTER_PENDING: u8 = 2;
/** Set only while checkIntegrity() walks the pending list. */
export const CLUSTER_SEEN: u8 = 4;

/**
 *   0        4       8       12     16          32
 *   ┌────────┬───────┬───────┬──────┬───────────┐
 *   │ handle │ newer │ older │ mark │ blocks[4] │   mark = step of the last reference << 1 | visited
 *   └────────┴───────┴───────┴──────┴───────────┘
 *
 * A cached cluster is named by its first block, so the table needs no free list of its own.
 */
@unmanaged
export class CachedRecord {
  handle: u32;
  newer: u32;
  older: u32;
  mark: u32;
  block0: u32;
  block1: u32;
  block2: u32;
  block3: u32;
}
export const CACHED_BYTES: u32 = 32;
export const CACHED_BLOCKS_OFFSET: u32 = 16;

/**
 *   0             4          8
 *   ┌─────────────┬──────────┐
 *   │ cachedIndex │ nextFree │   owner NONE: free
 *   └─────────────┴──────────┘
 */
@unmanaged
export class BlockRecord {
  cachedIndex: u32;
  nextFree: u32;
}
export const BLOCK_BYTES: u32 = 8;

/**
 *   0           4           8         12          16
 *   ┌───────────┬───────────┬─────────┬───────────┬──────────────────
 *   │ numRanges │ numTokens │ numHits │ numMisses │ PlanRange[] ...
 *   └───────────┴───────────┴─────────┴───────────┴──────────────────
 */
@unmanaged
export class PlanHeader {
  numRanges: u32;
  numTokens: u32;
  /** Clusters whose blocks are all cached. */
  numHits: u32;
  /** Clusters to read from the slow tier. */
  numMisses: u32;
}
export const PLAN_HEADER_BYTES: u32 = 16;

/**
 *   0      4          8       12      16
 *   ┌──────┬──────────┬───────┬───────┐
 *   │ kind │ location │ start │ count │
 *   └──────┴──────────┴───────┴───────┘
 */
@unmanaged
export class PlanRange {
  kind: u32;
  /** RANGE_IN_PLACE and RANGE_MISS: segment slot; RANGE_HIT: block index. */
  location: u32;
  /** Token offset in the row's cluster-ordered arrays; 0 for RANGE_HIT. */
  start: u32;
  /** Tokens; at most BLOCK_VECTORS for RANGE_HIT. */
  count: u32;
}
export const PLAN_RANGE_BYTES: u32 = 16;
export const RANGE_IN_PLACE: u32 = 0;
export const RANGE_HIT: u32 = 1;
export const RANGE_MISS: u32 = 2;

/**
 *   0        4      8     12      16      20          36
 *   ┌────────┬──────┬─────┬───────┬───────┬───────────┐
 *   │ handle │ slot │ row │ start │ count │ blocks[4] │   row = layer * numKvHeads + kvHead
 *   └────────┴──────┴─────┴───────┴───────┴───────────┘
 */
@unmanaged
export class AdmissionRecord {
  handle: u32;
  slot: u32;
  row: u32;
  start: u32;
  count: u32;
  block0: u32;
  block1: u32;
  block2: u32;
  block3: u32;
}
export const ADMISSION_BYTES: u32 = 36;
