import { admit, blocksOf, makeRoom } from "./block-cache";
import { clusterAt } from "./cluster-table";
import { header, regionOffset, spill } from "./header";
import {
  ADMISSION_BYTES,
  AdmissionRecord,
  CLUSTER_PENDING,
  ClusterRecord,
  NONE,
  REGION_ADMISSIONS,
  REGION_PENDING,
} from "./layout";

/** Byte offset of a place in the pending list; a place out of the list gives the spill record. */
export function pendingAt(place: u32): usize {
  if (place >= header().pendingCapacity) return spill();
  return regionOffset(REGION_PENDING) + (place << 2);
}

/** A place in the admissions list; a place out of the list gives the spill record. */
export function admissionAt(place: u32): AdmissionRecord {
  if (place >= header().pendingCapacity) return changetype<AdmissionRecord>(spill());
  return changetype<AdmissionRecord>(regionOffset(REGION_ADMISSIONS) + place * ADMISSION_BYTES);
}

/** Notes a miss for planAdmissions, once per step; a miss past the list's end is rejected here. */
export function notePending(handle: u32, cluster: ClusterRecord): void {
  if (cluster.flags & CLUSTER_PENDING) return;
  const head = header();
  if (head.numPending >= head.pendingCapacity) {
    head.rejectedAdmissions++;
    return;
  }
  store<u32>(pendingAt(head.numPending), handle);
  head.numPending++;
  cluster.flags |= CLUSTER_PENDING;
}

/**
 * Ends the step: gives blocks to its misses, first noted first served, evicting by policy, and lists what native has to
 * copy. Returns the length of the list.
 */
export function admitPending(): i32 {
  const head = header();
  const numPending = min(head.numPending, head.pendingCapacity);
  let roomLeft = true;
  head.numAdmissions = 0;
  head.numPending = 0;
  for (let place: u32 = 0; place < numPending && !head.corrupt; place++) {
    const handle = load<u32>(pendingAt(place));
    const cluster = clusterAt(handle);
    cluster.flags &= ~CLUSTER_PENDING;
    const needed = blocksOf(cluster.size);
    // Once the step's own clusters hold all that is left, no later search can do better: it only adds to them.
    if (head.numFreeBlocks < needed && roomLeft) roomLeft = makeRoom(needed);
    if (head.numFreeBlocks < needed || cluster.cachedIndex != NONE) {
      head.rejectedAdmissions++;
      continue;
    }
    listAdmission(handle, cluster);
  }
  head.step++;
  return head.numAdmissions;
}

function listAdmission(handle: u32, cluster: ClusterRecord): void {
  const head = header();
  const cached = admit(handle);
  const admission = admissionAt(head.numAdmissions);
  const rowIndex = handle / head.maxClusters;
  admission.handle = handle;
  admission.slot = rowIndex / head.rowsPerSegment;
  admission.row = rowIndex % head.rowsPerSegment;
  admission.start = cluster.start;
  admission.count = cluster.size;
  admission.block0 = cached.block0;
  admission.block1 = cached.block1;
  admission.block2 = cached.block2;
  admission.block3 = cached.block3;
  head.numAdmissions++;
}

/** Drops what a slot that is about to be freed has in the pending and admissions lists, keeping the others' order. */
export function forgetSlot(slot: u32): void {
  const head = header();
  const perSegment = head.clustersPerSegment;
  const numPending = min(head.numPending, head.pendingCapacity);
  const numAdmissions = min(head.numAdmissions, head.pendingCapacity);
  let kept: u32 = 0;
  for (let place: u32 = 0; place < numPending; place++) {
    const handle = load<u32>(pendingAt(place));
    if (handle / perSegment == slot) continue;
    store<u32>(pendingAt(kept++), handle);
  }
  head.numPending = kept;
  kept = 0;
  for (let place: u32 = 0; place < numAdmissions; place++) {
    const admission = admissionAt(place);
    if (admission.handle / perSegment == slot) continue;
    const target = admissionAt(kept++);
    if (target != admission) memory.copy(changetype<usize>(target), changetype<usize>(admission), ADMISSION_BYTES);
  }
  head.numAdmissions = kept;
}
