import { ERROR_INVALID_ARGUMENT, ERROR_MEMORY_TOO_SMALL } from "./errors";
import { HEADER_END, MAGIC, header, setRegionOffset } from "./header";
import {
  ADMISSION_BYTES,
  BLOCKS_PER_CLUSTER,
  BLOCK_BYTES,
  CACHED_BYTES,
  CLUSTER_BYTES,
  MAX_CLUSTER_SIZE,
  NUM_REGIONS,
  PLAN_HEADER_BYTES,
  PLAN_RANGE_BYTES,
  REGION_ADMISSIONS,
  REGION_BLOCKS,
  REGION_CACHED,
  REGION_CLUSTERS,
  REGION_INGEST,
  REGION_PENDING,
  REGION_PLAN,
  REGION_REQUEST,
  REGION_ROW_COUNTS,
  REGION_SEGMENTS,
  SEGMENT_BYTES,
} from "./layout";

export const POLICY_LRU: u32 = 0;
export const POLICY_SIEVE: u32 = 1;

/** Counts are u16 in the ingest region, starts u16 in the cluster table. */
const MAX_CLUSTERS: i32 = 65535;
const MAX_SEGMENT_TOKENS: i32 = 65536;
/** Far above any use; they only keep the products below exact in a double. */
const MAX_COUNT: i32 = 1 << 24;
const MAX_LAYERS: i32 = 4096;

// @ts-ignore: decorator
@inline
function within(value: i32, low: i32, high: i32): bool {
  return value >= low && value <= high;
}

export function validGeometry(
  numLayers: i32,
  numKvHeads: i32,
  maxClusters: i32,
  segmentTokens: i32,
  segmentCapacity: i32,
  blockCapacity: i32,
  maxRows: i32,
  maxSelectedPerRow: i32,
): bool {
  return (
    within(numLayers, 1, MAX_LAYERS) &&
    within(numKvHeads, 1, MAX_LAYERS) &&
    within(maxClusters, 1, MAX_CLUSTERS) &&
    within(segmentTokens, 1, MAX_SEGMENT_TOKENS) &&
    // A row of the largest clusters must be able to hold the segment.
    maxClusters * <i32>MAX_CLUSTER_SIZE >= segmentTokens &&
    within(segmentCapacity, 1, MAX_COUNT) &&
    within(blockCapacity, 0, MAX_COUNT << 3) &&
    within(maxRows, 1, MAX_COUNT) &&
    within(maxSelectedPerRow, 1, MAX_COUNT)
  );
}

/** At most every block gets a cluster of its own in one step, and a step has at most L * R * M misses. */
function pendingCapacity(numLayers: f64, blockCapacity: f64, maxRows: f64, maxSelectedPerRow: f64): f64 {
  return min<f64>(blockCapacity, numLayers * maxRows * maxSelectedPerRow);
}

/** Bytes of one region, in doubles so that a size past 4 GiB is seen and not wrapped. */
function regionBytes(
  region: u32,
  numLayers: f64,
  numKvHeads: f64,
  maxClusters: f64,
  segmentCapacity: f64,
  blockCapacity: f64,
  maxRows: f64,
  maxSelectedPerRow: f64,
): f64 {
  const rows = numLayers * numKvHeads;
  if (region == REGION_SEGMENTS) return segmentCapacity * <f64>SEGMENT_BYTES;
  if (region == REGION_ROW_COUNTS) return segmentCapacity * rows * 2;
  if (region == REGION_CLUSTERS) return segmentCapacity * rows * maxClusters * <f64>CLUSTER_BYTES;
  if (region == REGION_CACHED) return blockCapacity * <f64>CACHED_BYTES;
  if (region == REGION_BLOCKS) return blockCapacity * <f64>BLOCK_BYTES;
  if (region == REGION_INGEST) return rows * 2 + rows * maxClusters * 2;
  if (region == REGION_REQUEST) return maxRows * (4 + 4 * maxSelectedPerRow);
  if (region == REGION_PLAN) {
    const ranges = maxSelectedPerRow * <f64>BLOCKS_PER_CLUSTER;
    return maxRows * (<f64>PLAN_HEADER_BYTES + <f64>PLAN_RANGE_BYTES * ranges);
  }
  const pending = pendingCapacity(numLayers, blockCapacity, maxRows, maxSelectedPerRow);
  if (region == REGION_PENDING) return pending * 4;
  if (region == REGION_ADMISSIONS) return pending * <f64>ADMISSION_BYTES;
  return 0;
}

/** Byte offset of a region, or of the end of all for region = NUM_REGIONS. */
export function regionStart(
  region: u32,
  numLayers: f64,
  numKvHeads: f64,
  maxClusters: f64,
  segmentCapacity: f64,
  blockCapacity: f64,
  maxRows: f64,
  maxSelectedPerRow: f64,
): f64 {
  let offset: f64 = HEADER_END;
  for (let before: u32 = 0; before < region; before++) {
    const bytes = regionBytes(
      before,
      numLayers,
      numKvHeads,
      maxClusters,
      segmentCapacity,
      blockCapacity,
      maxRows,
      maxSelectedPerRow,
    );
    offset += Math.ceil(bytes / 64) * 64;
  }
  return offset;
}

/** Writes the header's geometry, derived sizes and region offsets; the tables are the caller's to reset. */
export function writeGeometry(
  numLayers: i32,
  numKvHeads: i32,
  maxClusters: i32,
  segmentTokens: i32,
  segmentCapacity: i32,
  blockCapacity: i32,
  maxRows: i32,
  maxSelectedPerRow: i32,
): i32 {
  if (
    !validGeometry(
      numLayers,
      numKvHeads,
      maxClusters,
      segmentTokens,
      segmentCapacity,
      blockCapacity,
      maxRows,
      maxSelectedPerRow,
    )
  ) {
    return ERROR_INVALID_ARGUMENT;
  }
  const head = header();
  head.magic = 0;
  head.numLayers = numLayers;
  head.numKvHeads = numKvHeads;
  head.maxClusters = maxClusters;
  head.segmentTokens = segmentTokens;
  head.segmentCapacity = segmentCapacity;
  head.blockCapacity = blockCapacity;
  head.maxRows = maxRows;
  head.maxSelectedPerRow = maxSelectedPerRow;
  if (headerRegionStart(NUM_REGIONS) > <f64>memory.size() * 65536) return ERROR_MEMORY_TOO_SMALL;

  // From here on every product fits 32 bits, since the regions that hold them fit the memory.
  head.rowsPerSegment = head.numLayers * head.numKvHeads;
  head.clustersPerSegment = head.rowsPerSegment * head.maxClusters;
  head.numRowsTotal = head.segmentCapacity * head.rowsPerSegment;
  head.requestStride = 4 + 4 * head.maxSelectedPerRow;
  head.planStride = PLAN_HEADER_BYTES + PLAN_RANGE_BYTES * BLOCKS_PER_CLUSTER * head.maxSelectedPerRow;
  head.pendingCapacity = <u32>headerPendingCapacity();
  for (let region: u32 = 0; region < NUM_REGIONS; region++) {
    setRegionOffset(region, <u32>headerRegionStart(region));
  }
  return 0;
}

export function headerPendingCapacity(): f64 {
  const head = header();
  return pendingCapacity(head.numLayers, head.blockCapacity, head.maxRows, head.maxSelectedPerRow);
}

/** regionStart for the geometry that the header names. */
export function headerRegionStart(region: u32): f64 {
  const head = header();
  return regionStart(
    region,
    head.numLayers,
    head.numKvHeads,
    head.maxClusters,
    head.segmentCapacity,
    head.blockCapacity,
    head.maxRows,
    head.maxSelectedPerRow,
  );
}

// @ts-ignore: decorator
@inline
export function isInitialised(): bool {
  return header().magic == MAGIC;
}
