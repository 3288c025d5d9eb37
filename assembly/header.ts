import { NUM_REGIONS, REGION_SEGMENTS } from "./layout";

/** The first KiB stays the compiler's: a build with static data would place it from there on. */
export const HEADER_OFFSET: usize = 1024;
/** Set last by init, so that a half-written header is never taken for a whole one. */
export const MAGIC: u32 = 0x564b5657;

/**
 * Everything that outlives a call. Module variables would belong to one instance; this record belongs to the memory,
 * so that a fresh instance on the same memory carries on.
 *
 *   0       4        8              40            68          96         108     124     128     200       240
 *   ┌───────┬────────┬──────────────┬─────────────┬───────────┬──────────┬───────┬───────┬───────┬─────────┬───────┐
 *   │ magic │ policy │ geometry [8] │ derived [7] │ lists [7] │ step [3] │ fault │ warm  │ stats │ regions │ spare │
 *   └───────┴────────┴──────────────┴─────────────┴───────────┴──────────┴───────┴───────┴───────┴─────────┴───────┘
 *   256: the spill record (64 bytes), which stands in for a record whose index is out of its table.
 */
@unmanaged
export class Header {
  magic: u32;
  policy: u32;

  numLayers: u32;
  numKvHeads: u32;
  maxClusters: u32;
  segmentTokens: u32;
  segmentCapacity: u32;
  blockCapacity: u32;
  maxRows: u32;
  maxSelectedPerRow: u32;

  /** numLayers * numKvHeads. */
  rowsPerSegment: u32;
  /** rowsPerSegment * maxClusters. */
  clustersPerSegment: u32;
  /** segmentCapacity * rowsPerSegment. */
  numRowsTotal: u32;
  /** Bytes from one row's request to the next. */
  requestStride: u32;
  /** Bytes from one row's plan to the next. */
  planStride: u32;
  /** Records of the pending and the admissions region. */
  pendingCapacity: u32;
  /** 1 once an index was found out of its table; every later call is refused. */
  corrupt: u32;

  freeSlot: u32;
  freeBlock: u32;
  numFreeBlocks: u32;
  newest: u32;
  oldest: u32;
  /** SIEVE: the next candidate; NONE: the oldest. */
  hand: u32;
  numCached: u32;

  /** Steps ended by planAdmissions, modulo 2^31. */
  step: u32;
  numPending: u32;
  numAdmissions: u32;
  faultCode: i32;
  faultRow: u32;
  faultIndex: u32;
  faultValue: u32;
  /** Of no meaning: see warmRow(). */
  warmSum: u32;

  // Counters. "Clusters" in all but the last three.
  lookups: u64;
  hits: u64;
  misses: u64;
  admissions: u64;
  rejectedAdmissions: u64;
  evictions: u64;
  segmentsLive: u64;
  blocksUsed: u64;
  blocksTotal: u64;
}

/** u32 start of each region, indexed by REGION_*. */
const REGION_TABLE_OFFSET: usize = HEADER_OFFSET + 200;
const SPILL_OFFSET: usize = HEADER_OFFSET + 256;
export const STATS_OFFSET: usize = HEADER_OFFSET + 128;
/** i32 code, u32 row, u32 index, u32 value of the last refusal. */
export const FAULT_OFFSET: usize = HEADER_OFFSET + 108;
export const HEADER_END: u32 = 1536;

// @ts-ignore: decorator
@inline
export function header(): Header {
  return changetype<Header>(HEADER_OFFSET);
}

/** region < NUM_REGIONS: always a REGION_* constant, or a loop's index bounded by NUM_REGIONS. */
// @ts-ignore: decorator
@inline
export function regionOffset(region: u32): usize {
  return load<u32>(REGION_TABLE_OFFSET + (<usize>(region < NUM_REGIONS ? region : REGION_SEGMENTS) << 2));
}

export function setRegionOffset(region: u32, offset: u32): void {
  if (region < NUM_REGIONS) store<u32>(REGION_TABLE_OFFSET + (<usize>region << 2), offset);
}

/** Clears all that a geometry does not fix: lists, step, fault and counters. */
export function resetState(): void {
  const from = offsetof<Header>("corrupt");
  memory.fill(HEADER_OFFSET + from, 0, offsetof<Header>("blocksTotal") + sizeof<u64>() - from);
}

/** Notes that an index led out of its table, and gives the record that takes the stray access instead. */
export function spill(): usize {
  header().corrupt = 1;
  return SPILL_OFFSET;
}

/** Records where a refusal happened, for the words of the JavaScript error, and returns its code. */
export function refuse(code: i32, row: u32, index: u32, value: u32): i32 {
  const head = header();
  head.faultCode = code;
  head.faultRow = row;
  head.faultIndex = index;
  head.faultValue = value;
  return code;
}
