import {
  ERROR_BAD_SLOT,
  ERROR_NO_FREE_SLOT,
  ERROR_SLOT_NOT_LIVE,
  ERROR_TABLE_CORRUPT,
  ERROR_TOO_MANY_REFERENCES,
} from "./errors";
import { header, refuse, regionOffset, spill } from "./header";
import { NONE, REGION_SEGMENTS, SEGMENT_BYTES, SLOT_FREE, SLOT_OPEN, SegmentRecord } from "./layout";

const MAX_REFERENCES: u32 = 0x7fffffff;

/** The record of a slot; a slot out of the table gives the spill record. */
export function segmentAt(slot: u32): SegmentRecord {
  if (slot >= header().segmentCapacity) return changetype<SegmentRecord>(spill());
  return changetype<SegmentRecord>(regionOffset(REGION_SEGMENTS) + slot * SEGMENT_BYTES);
}

/** Makes every slot free, lowest slot first. */
export function resetSegments(): void {
  const head = header();
  const capacity = head.segmentCapacity;
  for (let slot: u32 = 0; slot < capacity; slot++) {
    const segment = segmentAt(slot);
    segment.state = SLOT_FREE;
    segment.references = 0;
    segment.inPlace = 0;
    segment.nextFree = slot + 1 < capacity ? slot + 1 : NONE;
  }
  head.freeSlot = 0;
  head.segmentsLive = 0;
}

/** Takes a free slot with one reference; returns it. */
export function takeSlot(inPlace: bool): i32 {
  const head = header();
  const slot = head.freeSlot;
  if (slot == NONE) return refuse(ERROR_NO_FREE_SLOT, 0, 0, head.segmentCapacity);
  const segment = segmentAt(slot);
  if (head.corrupt || segment.state != SLOT_FREE) return refuse(ERROR_TABLE_CORRUPT, 0, 0, slot);
  head.freeSlot = segment.nextFree;
  segment.state = SLOT_OPEN;
  segment.references = 1;
  segment.inPlace = inPlace ? 1 : 0;
  segment.nextFree = NONE;
  head.segmentsLive++;
  return slot;
}

/** Gives a slot back; its clusters must have left the block cache. */
export function freeSlot(slot: u32): void {
  const head = header();
  const segment = segmentAt(slot);
  segment.state = SLOT_FREE;
  segment.references = 0;
  segment.inPlace = 0;
  segment.nextFree = head.freeSlot;
  head.freeSlot = slot;
  head.segmentsLive--;
}

/** 0, or why the slot holds no segment. */
export function checkLive(slot: i32): i32 {
  if (<u32>slot >= header().segmentCapacity) return refuse(ERROR_BAD_SLOT, 0, 0, slot);
  if (segmentAt(slot).state == SLOT_FREE) return refuse(ERROR_SLOT_NOT_LIVE, 0, 0, slot);
  return 0;
}

/** Adds a reference to a live slot; returns their number. */
export function addReference(slot: u32): i32 {
  const segment = segmentAt(slot);
  if (segment.references >= MAX_REFERENCES) return refuse(ERROR_TOO_MANY_REFERENCES, 0, 0, slot);
  segment.references++;
  return segment.references;
}
