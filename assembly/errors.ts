/**
 * What exports return when they refuse. Every code is negative, so a result >= 0 is an answer.
 * `src/kvcache/control-plane-errors.ts` mirrors this list with words; a test compares the two.
 */

// Arguments and state.
export const ERROR_INVALID_ARGUMENT: i32 = -1;
export const ERROR_MEMORY_TOO_SMALL: i32 = -2;
export const ERROR_NOT_INITIALISED: i32 = -3;
export const ERROR_TABLE_CORRUPT: i32 = -4;

// Segments.
export const ERROR_NO_FREE_SLOT: i32 = -10;
export const ERROR_BAD_SLOT: i32 = -11;
export const ERROR_SLOT_NOT_LIVE: i32 = -12;
export const ERROR_SLOT_NOT_PUBLISHED: i32 = -13;
export const ERROR_ALREADY_PUBLISHED: i32 = -14;
export const ERROR_TOO_MANY_REFERENCES: i32 = -15;

// Ingest.
export const ERROR_INGEST_CLUSTER_COUNT: i32 = -20;
export const ERROR_INGEST_CLUSTER_SIZE: i32 = -21;
export const ERROR_INGEST_TOKEN_SUM: i32 = -22;

// Lookup.
export const ERROR_BAD_LAYER: i32 = -30;
export const ERROR_TOO_MANY_ROWS: i32 = -31;
export const ERROR_TOO_MANY_SELECTED: i32 = -32;
export const ERROR_BAD_HANDLE: i32 = -33;
export const ERROR_WRONG_LAYER: i32 = -34;
export const ERROR_MIXED_ROWS: i32 = -35;
export const ERROR_BAD_CLUSTER: i32 = -36;

// What checkIntegrity() finds.
export const FAULT_HEADER: i32 = -100;
export const FAULT_SLOT_STATE: i32 = -101;
export const FAULT_REFERENCE_COUNT: i32 = -102;
export const FAULT_FREE_SLOTS: i32 = -103;
export const FAULT_SEGMENTS_LIVE: i32 = -104;
export const FAULT_ROW_COUNT: i32 = -110;
export const FAULT_CLUSTER_SIZE: i32 = -111;
export const FAULT_CLUSTER_START: i32 = -112;
export const FAULT_TOKEN_SUM: i32 = -113;
export const FAULT_CLUSTER_FLAGS: i32 = -114;
export const FAULT_FREE_BLOCKS: i32 = -120;
export const FAULT_BLOCK_OWNER: i32 = -121;
export const FAULT_BLOCKS_USED: i32 = -122;
export const FAULT_POLICY_LIST: i32 = -130;
export const FAULT_POLICY_HAND: i32 = -131;
export const FAULT_CACHED_CLUSTER: i32 = -132;
export const FAULT_NUM_CACHED: i32 = -133;
export const FAULT_PENDING: i32 = -140;
export const FAULT_ADMISSIONS: i32 = -141;
export const FAULT_COUNTERS: i32 = -142;
