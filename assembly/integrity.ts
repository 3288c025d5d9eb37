import { checkAdmissionLists } from "./integrity-admissions";
import { checkBlocks, checkCachedClusters } from "./integrity-cache";
import { checkClusters, checkSlots } from "./integrity-segments";
import { FAULT_COUNTERS, FAULT_HEADER } from "./errors";
import { POLICY_SIEVE, headerPendingCapacity, headerRegionStart, validGeometry } from "./geometry";
import { header, refuse, regionOffset } from "./header";
import { NUM_REGIONS, PLAN_HEADER_BYTES, PLAN_RANGE_BYTES, BLOCKS_PER_CLUSTER } from "./layout";

/** 0 when every table agrees with every other, else the code of the first fault. Leaves the tables as they are. */
export function findFault(): i32 {
  let code = checkHeader();
  if (code == 0) code = checkSlots();
  if (code == 0) code = checkClusters();
  if (code == 0) code = checkCachedClusters();
  if (code == 0) code = checkBlocks();
  if (code == 0) code = checkAdmissionLists();
  if (code == 0) code = checkCounters();
  return code;
}

/** The header's derived sizes and offsets are those of its geometry, and the tables lie inside the memory. */
function checkHeader(): i32 {
  const head = header();
  const valid = validGeometry(
    head.numLayers,
    head.numKvHeads,
    head.maxClusters,
    head.segmentTokens,
    head.segmentCapacity,
    head.blockCapacity,
    head.maxRows,
    head.maxSelectedPerRow,
  );
  if (!valid || head.policy > POLICY_SIEVE || headerRegionStart(NUM_REGIONS) > <f64>memory.size() * 65536) {
    return refuse(FAULT_HEADER, 0, 0, 0);
  }
  const rows = head.numLayers * head.numKvHeads;
  const sound =
    head.rowsPerSegment == rows &&
    head.clustersPerSegment == rows * head.maxClusters &&
    head.numRowsTotal == head.segmentCapacity * rows &&
    head.requestStride == 4 + 4 * head.maxSelectedPerRow &&
    head.planStride == PLAN_HEADER_BYTES + PLAN_RANGE_BYTES * BLOCKS_PER_CLUSTER * head.maxSelectedPerRow &&
    <f64>head.pendingCapacity == headerPendingCapacity();
  if (!sound) return refuse(FAULT_HEADER, 0, 1, 0);
  for (let region: u32 = 0; region < NUM_REGIONS; region++) {
    if (<f64>regionOffset(region) != headerRegionStart(region)) return refuse(FAULT_HEADER, 0, 2, region);
  }
  return 0;
}

function checkCounters(): i32 {
  const head = header();
  if (head.hits + head.misses > head.lookups) return refuse(FAULT_COUNTERS, 0, 0, 0);
  if (head.admissions - head.evictions != <u64>head.numCached) return refuse(FAULT_COUNTERS, 0, 1, head.numCached);
  return 0;
}
