import { admissionAt, pendingAt } from "./admissions";
import { cachedAt } from "./cached-list";
import { clusterAt, rowCount } from "./cluster-table";
import { FAULT_ADMISSIONS, FAULT_PENDING } from "./errors";
import { header, refuse } from "./header";
import { CLUSTER_PENDING, CLUSTER_SEEN } from "./layout";

/** The pending list holds the clusters flagged so; the admissions list holds cached clusters with their blocks. */
export function checkAdmissionLists(): i32 {
  const head = header();
  if (head.numPending > head.pendingCapacity) return refuse(FAULT_PENDING, 0, 0, head.numPending);
  if (head.numAdmissions > head.pendingCapacity) return refuse(FAULT_ADMISSIONS, 0, 0, head.numAdmissions);
  const numDistinct = countDistinctPending();
  if (numDistinct != head.numPending || countPending() != head.numPending) {
    return refuse(FAULT_PENDING, 0, numDistinct, head.numPending);
  }
  return checkAdmissions();
}

/** Length of the pending list up to the first place that holds no flagged cluster, or one that was there before. */
function countDistinctPending(): u32 {
  const head = header();
  let numDistinct: u32 = 0;
  for (; numDistinct < head.numPending; numDistinct++) {
    const handle = load<u32>(pendingAt(numDistinct));
    if (!isPublished(handle)) break;
    const cluster = clusterAt(handle);
    if (!(cluster.flags & CLUSTER_PENDING) || cluster.flags & CLUSTER_SEEN) break;
    cluster.flags |= CLUSTER_SEEN;
  }
  for (let place: u32 = 0; place < numDistinct; place++) {
    clusterAt(load<u32>(pendingAt(place))).flags &= ~CLUSTER_SEEN;
  }
  return numDistinct;
}

function checkAdmissions(): i32 {
  const head = header();
  for (let place: u32 = 0; place < head.numAdmissions; place++) {
    const admission = admissionAt(place);
    const handle = admission.handle;
    if (!isPublished(handle)) return refuse(FAULT_ADMISSIONS, 0, place, handle);
    const cluster = clusterAt(handle);
    if (cluster.cachedIndex >= head.blockCapacity) return refuse(FAULT_ADMISSIONS, 0, place, handle);
    const cached = cachedAt(cluster.cachedIndex);
    const sound =
      admission.slot * head.rowsPerSegment + admission.row == handle / head.maxClusters &&
      admission.start == cluster.start &&
      admission.count == cluster.size &&
      admission.block0 == cached.block0 &&
      admission.block1 == cached.block1 &&
      admission.block2 == cached.block2 &&
      admission.block3 == cached.block3;
    if (!sound) return refuse(FAULT_ADMISSIONS, 0, place, handle);
  }
  return 0;
}

function isPublished(handle: u32): bool {
  const maxClusters = header().maxClusters;
  return handle % maxClusters < rowCount(handle / maxClusters);
}

function countPending(): u32 {
  const head = header();
  let numFlagged: u32 = 0;
  for (let rowIndex: u32 = 0; rowIndex < head.numRowsTotal; rowIndex++) {
    const numClusters = rowCount(rowIndex);
    for (let index: u32 = 0; index < numClusters; index++) {
      if (clusterAt(rowIndex * head.maxClusters + index).flags & CLUSTER_PENDING) numFlagged++;
    }
  }
  return numFlagged;
}
