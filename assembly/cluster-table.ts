import { ERROR_INGEST_CLUSTER_COUNT, ERROR_INGEST_CLUSTER_SIZE, ERROR_INGEST_TOKEN_SUM } from "./errors";
import { header, refuse, regionOffset, spill } from "./header";
import {
  CLUSTER_IN_PLACE,
  CLUSTER_SHIFT,
  ClusterRecord,
  MAX_CLUSTER_SIZE,
  NONE,
  REGION_CLUSTERS,
  REGION_INGEST,
  REGION_ROW_COUNTS,
} from "./layout";

/** The record of a cluster handle; a handle out of the table gives the spill record. */
export function clusterAt(handle: u32): ClusterRecord {
  const head = header();
  // numRowsTotal * maxClusters fits 32 bits: the cluster table fits the memory.
  if (handle >= head.numRowsTotal * head.maxClusters) return changetype<ClusterRecord>(spill());
  return changetype<ClusterRecord>(regionOffset(REGION_CLUSTERS) + (handle << CLUSTER_SHIFT));
}

/** Clusters of a row over all slots, rowIndex = slot * rowsPerSegment + row; 0 where nothing is published. */
export function rowCount(rowIndex: u32): u32 {
  if (rowIndex >= header().numRowsTotal) return 0;
  return load<u16>(regionOffset(REGION_ROW_COUNTS) + (rowIndex << 1));
}

export function resetRowCounts(): void {
  memory.fill(regionOffset(REGION_ROW_COUNTS), 0, header().numRowsTotal << 1);
}

/** Forgets the clusters of a slot < segmentCapacity. */
export function clearRows(slot: u32): void {
  const rows = header().rowsPerSegment;
  memory.fill(regionOffset(REGION_ROW_COUNTS) + ((slot * rows) << 1), 0, rows << 1);
}

/** Byte offset of the ingested sizes u16 [numLayers, numKvHeads, maxClusters]. */
export function ingestSizesOffset(): usize {
  return regionOffset(REGION_INGEST) + (header().rowsPerSegment << 1);
}

/** Tokens of one ingested row, or the code of its first fault. */
function checkIngestRow(row: u32): i32 {
  const head = header();
  const numClusters: u32 = load<u16>(regionOffset(REGION_INGEST) + (row << 1));
  if (numClusters - 1 >= head.maxClusters) return refuse(ERROR_INGEST_CLUSTER_COUNT, row, 0, numClusters);
  const sizes = ingestSizesOffset() + ((row * head.maxClusters) << 1);
  let tokens: u32 = 0;
  // Bound: numClusters <= maxClusters, the row's places in the ingest region.
  for (let index: u32 = 0; index < numClusters; index++) {
    const size: u32 = load<u16>(sizes + (index << 1));
    if (size - 1 >= MAX_CLUSTER_SIZE) return refuse(ERROR_INGEST_CLUSTER_SIZE, row, index, size);
    tokens += size;
  }
  if (tokens != head.segmentTokens) return refuse(ERROR_INGEST_TOKEN_SUM, row, numClusters, tokens);
  return 0;
}

/** 0 when the ingest region describes a whole segment, else the code of its first fault. */
export function checkIngest(): i32 {
  const rows = header().rowsPerSegment;
  for (let row: u32 = 0; row < rows; row++) {
    const code = checkIngestRow(row);
    if (code < 0) return code;
  }
  return 0;
}

/** Writes the cluster records of a slot from an ingest region that checkIngest() accepted. */
export function writeClusters(slot: u32, inPlace: bool): void {
  const head = header();
  const rows = head.rowsPerSegment;
  const flags = inPlace ? CLUSTER_IN_PLACE : 0;
  for (let row: u32 = 0; row < rows; row++) {
    const rowIndex = slot * rows + row;
    const numClusters = load<u16>(regionOffset(REGION_INGEST) + (row << 1));
    const sizes = ingestSizesOffset() + ((row * head.maxClusters) << 1);
    const clusters = regionOffset(REGION_CLUSTERS) + ((rowIndex * head.maxClusters) << CLUSTER_SHIFT);
    let start: u32 = 0;
    // Bound: numClusters <= maxClusters, checked by checkIngest().
    for (let index: u32 = 0; index < numClusters; index++) {
      const size: u32 = load<u16>(sizes + (index << 1));
      const cluster = changetype<ClusterRecord>(clusters + (index << CLUSTER_SHIFT));
      cluster.start = <u16>start;
      cluster.size = <u8>size;
      cluster.flags = flags;
      cluster.cachedIndex = NONE;
      start += size;
    }
    store<u16>(regionOffset(REGION_ROW_COUNTS) + (rowIndex << 1), numClusters);
  }
}
