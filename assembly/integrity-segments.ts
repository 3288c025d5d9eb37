import { clusterAt, rowCount } from "./cluster-table";
import {
  FAULT_CLUSTER_FLAGS,
  FAULT_CLUSTER_SIZE,
  FAULT_CLUSTER_START,
  FAULT_FREE_SLOTS,
  FAULT_REFERENCE_COUNT,
  FAULT_ROW_COUNT,
  FAULT_SEGMENTS_LIVE,
  FAULT_SLOT_STATE,
  FAULT_TOKEN_SUM,
} from "./errors";
import { header, refuse } from "./header";
import { CLUSTER_IN_PLACE, CLUSTER_PENDING, MAX_CLUSTER_SIZE, NONE, SLOT_FREE, SLOT_PUBLISHED } from "./layout";
import { segmentAt } from "./segment-table";

/** Free + live = all; live slots have references; the free list holds the free slots, each once. */
export function checkSlots(): i32 {
  const head = header();
  const capacity = head.segmentCapacity;
  let numFree: u32 = 0;
  for (let slot: u32 = 0; slot < capacity; slot++) {
    const segment = segmentAt(slot);
    if (segment.state > SLOT_PUBLISHED || segment.inPlace > 1) return refuse(FAULT_SLOT_STATE, 0, slot, segment.state);
    const free = segment.state == SLOT_FREE;
    if (free && segment.inPlace != 0) return refuse(FAULT_SLOT_STATE, 0, slot, segment.state);
    if (free) numFree++;
    if (free != (segment.references == 0)) return refuse(FAULT_REFERENCE_COUNT, 0, slot, segment.references);
    if (!free && segment.nextFree != NONE) return refuse(FAULT_FREE_SLOTS, 0, slot, segment.nextFree);
  }
  if (head.segmentsLive != <u64>(capacity - numFree)) return refuse(FAULT_SEGMENTS_LIVE, 0, 0, capacity - numFree);

  let seen: u32 = 0;
  let slot = head.freeSlot;
  // A list of exactly numFree free slots that then ends has no cycle and misses none.
  for (; seen < numFree && slot < capacity; seen++) {
    const segment = segmentAt(slot);
    if (segment.state != SLOT_FREE) return refuse(FAULT_FREE_SLOTS, 0, slot, segment.state);
    slot = segment.nextFree;
  }
  if (seen != numFree || slot != NONE) return refuse(FAULT_FREE_SLOTS, 0, slot, seen);
  return 0;
}

/** Rows of published slots hold sizes that sum to segmentTokens; the others hold nothing. */
export function checkClusters(): i32 {
  const head = header();
  const rows = head.rowsPerSegment;
  for (let slot: u32 = 0; slot < head.segmentCapacity; slot++) {
    const segment = segmentAt(slot);
    const published = segment.state == SLOT_PUBLISHED;
    for (let row: u32 = 0; row < rows; row++) {
      const numClusters = rowCount(slot * rows + row);
      const sound = published ? numClusters - 1 < head.maxClusters : numClusters == 0;
      if (!sound) return refuse(FAULT_ROW_COUNT, row, slot, numClusters);
      if (!published) continue;
      const code = checkRowClusters(slot * rows + row, numClusters, segment.inPlace == 1);
      if (code < 0) return code;
    }
  }
  return 0;
}

function checkRowClusters(rowIndex: u32, numClusters: u32, inPlace: bool): i32 {
  const head = header();
  let start: u32 = 0;
  for (let index: u32 = 0; index < numClusters; index++) {
    const cluster = clusterAt(rowIndex * head.maxClusters + index);
    const size: u32 = cluster.size;
    if (size - 1 >= MAX_CLUSTER_SIZE) return refuse(FAULT_CLUSTER_SIZE, rowIndex, index, size);
    if (cluster.start != start) return refuse(FAULT_CLUSTER_START, rowIndex, index, cluster.start);
    const known = !(cluster.flags & ~(CLUSTER_IN_PLACE | CLUSTER_PENDING));
    const flagged = (cluster.flags & CLUSTER_IN_PLACE) != 0;
    // A cluster in place never waits for a block and never has one.
    const waits = (cluster.flags & CLUSTER_PENDING) != 0;
    const idle = !waits && cluster.cachedIndex == NONE;
    if (!known || flagged != inPlace || (inPlace && !idle) || (waits && cluster.cachedIndex != NONE)) {
      return refuse(FAULT_CLUSTER_FLAGS, rowIndex, index, cluster.flags);
    }
    start += size;
  }
  if (start != head.segmentTokens) return refuse(FAULT_TOKEN_SUM, rowIndex, numClusters, start);
  return 0;
}
