/**
 * The control plane: segment table, cluster table, block cache and access plans, in a memory that JavaScript makes and
 * native code reads in place. Keys and values never come here. Every export but layoutBytes answers with a code < 0 from
 * errors.ts when it refuses, and none traps on bad input.
 */
import { checkRequest, planRow } from "./access-plan";
import { admitPending, forgetSlot } from "./admissions";
import { evictSlot, resetBlocks } from "./block-cache";
import { checkIngest, clearRows, resetRowCounts, writeClusters } from "./cluster-table";
import {
  ERROR_ALREADY_PUBLISHED,
  ERROR_BAD_LAYER,
  ERROR_INVALID_ARGUMENT,
  ERROR_MEMORY_TOO_SMALL,
  ERROR_NOT_INITIALISED,
  ERROR_TABLE_CORRUPT,
  ERROR_TOO_MANY_ROWS,
} from "./errors";
import { POLICY_SIEVE, isInitialised, regionStart, validGeometry, writeGeometry } from "./geometry";
import { FAULT_OFFSET, MAGIC, STATS_OFFSET, header, refuse, regionOffset, resetState, spill } from "./header";
import { findFault } from "./integrity";
import {
  ADMISSION_BYTES,
  NUM_REGIONS,
  REGION_ADMISSIONS,
  REGION_INGEST,
  REGION_PLAN,
  REGION_REQUEST,
  SLOT_OPEN,
  SLOT_PUBLISHED,
} from "./layout";
import { addReference, checkLive, freeSlot, resetSegments, segmentAt, takeSlot } from "./segment-table";

/** Bytes of memory that init() needs with the same arguments, -1 where one is out of range. Touches no memory. */
export function layoutBytes(
  numLayers: i32,
  numKvHeads: i32,
  maxClusters: i32,
  segmentTokens: i32,
  segmentCapacity: i32,
  blockCapacity: i32,
  maxRows: i32,
  maxSelectedPerRow: i32,
): f64 {
  const valid = validGeometry(
    numLayers,
    numKvHeads,
    maxClusters,
    segmentTokens,
    segmentCapacity,
    blockCapacity,
    maxRows,
    maxSelectedPerRow,
  );
  if (!valid) return -1;
  return regionStart(
    NUM_REGIONS,
    numLayers,
    numKvHeads,
    maxClusters,
    segmentCapacity,
    blockCapacity,
    maxRows,
    maxSelectedPerRow,
  );
}

/** Lays the memory out and empties every table. */
export function init(
  numLayers: i32,
  numKvHeads: i32,
  maxClusters: i32,
  segmentTokens: i32,
  segmentCapacity: i32,
  blockCapacity: i32,
  maxRows: i32,
  maxSelectedPerRow: i32,
  policy: i32,
): i32 {
  if (policy < 0 || policy > <i32>POLICY_SIEVE) return ERROR_INVALID_ARGUMENT;
  if (memory.size() == 0) return ERROR_MEMORY_TOO_SMALL;
  const code = writeGeometry(
    numLayers,
    numKvHeads,
    maxClusters,
    segmentTokens,
    segmentCapacity,
    blockCapacity,
    maxRows,
    maxSelectedPerRow,
  );
  if (code < 0) return code;
  const head = header();
  resetState();
  head.policy = policy;
  resetSegments();
  resetRowCounts();
  resetBlocks();
  head.magic = MAGIC;
  return 0;
}

/** 0 when calls may be served. */
function ready(): i32 {
  if (memory.size() == 0 || !isInitialised()) return ERROR_NOT_INITIALISED;
  return header().corrupt ? ERROR_TABLE_CORRUPT : 0;
}

/** The call's answer, unless it met an index outside its table. */
function settled(result: i32): i32 {
  return header().corrupt ? refuse(ERROR_TABLE_CORRUPT, 0, 0, 0) : result;
}

/** A free slot with one reference. inPlace != 0: the segment lies in the fast tier and is attended in place. */
export function allocateSegment(inPlace: i32): i32 {
  const code = ready();
  return code < 0 ? code : settled(takeSlot(inPlace != 0));
}

/** Takes the ingest region as the slot's clusters. A refused ingest leaves every table as it was. */
export function publishSegment(slot: i32): i32 {
  let code = ready();
  if (code == 0) code = checkLive(slot);
  if (code < 0) return code;
  const segment = segmentAt(slot);
  if (segment.state != SLOT_OPEN) return refuse(ERROR_ALREADY_PUBLISHED, 0, 0, slot);
  code = checkIngest();
  if (code < 0) return code;
  writeClusters(slot, segment.inPlace == 1);
  segment.state = SLOT_PUBLISHED;
  return settled(0);
}

/** Adds a reference; returns their number. */
export function retainSegment(slot: i32): i32 {
  let code = ready();
  if (code == 0) code = checkLive(slot);
  return code < 0 ? code : settled(addReference(slot));
}

/** Drops a reference; returns their number. At 0 the slot is free and nothing of it is cached, pending or listed. */
export function releaseSegment(slot: i32): i32 {
  let code = ready();
  if (code == 0) code = checkLive(slot);
  if (code < 0) return code;
  const segment = segmentAt(slot);
  if (segment.references == 0) spill();
  else segment.references--;
  if (segment.references > 0) return settled(segment.references);
  forgetSlot(slot);
  evictSlot(slot);
  clearRows(slot);
  freeSlot(slot);
  return settled(0);
}

/**
 * Plans the reads of one layer for numRows rows; returns its misses, in clusters. All requests are checked before
 * anything changes.
 */
export function lookup(layer: i32, numRows: i32): i32 {
  const code = ready();
  if (code < 0) return code;
  const head = header();
  if (<u32>layer >= head.numLayers) return refuse(ERROR_BAD_LAYER, 0, 0, layer);
  if (<u32>numRows > head.maxRows) return refuse(ERROR_TOO_MANY_ROWS, 0, 0, numRows);
  for (let row = 0; row < numRows; row++) {
    const fault = checkRequest(row, layer);
    if (fault < 0) return fault;
  }
  let numMisses: u32 = 0;
  for (let row = 0; row < numRows; row++) numMisses += planRow(row);
  return settled(numMisses);
}

/**
 * Ends a step: chooses which of its misses get blocks; returns the length of the admissions list. Native must have copied
 * the listed clusters into their blocks before the next lookup.
 */
export function planAdmissions(): i32 {
  const code = ready();
  return code < 0 ? code : settled(admitPending());
}

/** 0 when every table agrees with every other, else a FAULT_* code. Reads all tables: for tests and idle time. */
export function checkIntegrity(): i32 {
  const code = ready();
  return code < 0 ? code : settled(findFault());
}

// Where native and JavaScript read and write, valid after init(). Offsets are doubles: past 2 GiB an i32 would look like a
// code.

export function ingestPtr(): f64 {
  const code = ready();
  return code < 0 ? <f64>code : <f64>regionOffset(REGION_INGEST);
}

export function requestPtr(): f64 {
  const code = ready();
  return code < 0 ? <f64>code : <f64>regionOffset(REGION_REQUEST);
}

export function planPtr(): f64 {
  const code = ready();
  return code < 0 ? <f64>code : <f64>regionOffset(REGION_PLAN);
}

export function admissionsPtr(): f64 {
  const code = ready();
  return code < 0 ? <f64>code : <f64>regionOffset(REGION_ADMISSIONS);
}

export function requestStride(): i32 {
  const code = ready();
  return code < 0 ? code : header().requestStride;
}

export function planStride(): i32 {
  const code = ready();
  return code < 0 ? code : header().planStride;
}

export function admissionStride(): i32 {
  return ADMISSION_BYTES;
}

export function numAdmissions(): i32 {
  const code = ready();
  return code < 0 ? code : header().numAdmissions;
}

/** u64 [9]: lookups, hits, misses, admissions, rejectedAdmissions, evictions, segmentsLive, blocksUsed, blocksTotal. */
export function statsPtr(): f64 {
  return <f64>STATS_OFFSET;
}

/** i32 code, u32 row, u32 index, u32 value of the last refusal. */
export function faultPtr(): f64 {
  return <f64>FAULT_OFFSET;
}
