/** Where a refused call went wrong, as the control plane noted it; which fields mean something depends on the code. */
export interface ControlPlaneFault {
  row: number;
  index: number;
  value: number;
}

type Words = (fault: ControlPlaneFault) => string;

/** Every code of `assembly/errors.ts`, with its words. */
export const CONTROL_PLANE_CODES: Readonly<Record<string, readonly [code: number, words: Words]>> = {
  ERROR_INVALID_ARGUMENT: [-1, () => "a size or the policy is out of range"],
  ERROR_MEMORY_TOO_SMALL: [-2, () => "the memory is smaller than the tables"],
  ERROR_NOT_INITIALISED: [-3, () => "the memory holds no tables yet"],
  ERROR_TABLE_CORRUPT: [-4, () => "a table holds an index that leads out of it; the memory must be initialised again"],

  ERROR_NO_FREE_SLOT: [-10, (f) => `all ${f.value} segment slots are live`],
  ERROR_BAD_SLOT: [-11, (f) => `slot ${f.value} is out of the segment table`],
  ERROR_SLOT_NOT_LIVE: [-12, (f) => `${place(f)} is in a slot that holds no segment`],
  ERROR_SLOT_NOT_PUBLISHED: [-13, (f) => `${place(f)} is in a segment that is not published`],
  ERROR_ALREADY_PUBLISHED: [-14, (f) => `slot ${f.value} is published already`],
  ERROR_TOO_MANY_REFERENCES: [-15, (f) => `slot ${f.value} can take no more references`],

  ERROR_INGEST_CLUSTER_COUNT: [-20, (f) => `row ${f.row} has ${f.value} clusters, which is 0 or more than a row holds`],
  ERROR_INGEST_CLUSTER_SIZE: [-21, (f) => `row ${f.row}, cluster ${f.index} has ${f.value} tokens, not 1 to 32`],
  ERROR_INGEST_TOKEN_SUM: [-22, (f) => `row ${f.row} has ${f.value} tokens in its clusters, not a segment's number`],

  ERROR_BAD_LAYER: [-30, (f) => `layer ${f.value | 0} is out of range`],
  ERROR_TOO_MANY_ROWS: [-31, (f) => `${f.value | 0} rows are out of range`],
  ERROR_TOO_MANY_SELECTED: [-32, (f) => `row ${f.row} selects ${f.value} clusters, more than a request holds`],
  ERROR_BAD_HANDLE: [-33, (f) => `${place(f)} is out of the cluster table`],
  ERROR_WRONG_LAYER: [-34, (f) => `${place(f)} is of another layer`],
  ERROR_MIXED_ROWS: [-35, (f) => `${place(f)} is of another KV head than the row's first`],
  ERROR_BAD_CLUSTER: [-36, (f) => `${place(f)} is past the clusters of its row`],

  FAULT_HEADER: [-100, () => "the header's sizes or offsets are not those of its geometry"],
  FAULT_SLOT_STATE: [-101, (f) => `slot ${f.index} is in an unknown state`],
  FAULT_REFERENCE_COUNT: [-102, (f) => `slot ${f.index} has ${f.value} references, which its state forbids`],
  FAULT_FREE_SLOTS: [-103, () => "the list of free slots does not hold each free slot once"],
  FAULT_SEGMENTS_LIVE: [-104, (f) => `${f.value} slots are live, the counter says otherwise`],
  FAULT_ROW_COUNT: [-110, (f) => `slot ${f.index}, row ${f.row} has ${f.value} clusters, which its state forbids`],
  FAULT_CLUSTER_SIZE: [-111, (f) => `row ${f.row}, cluster ${f.index} has ${f.value} tokens`],
  FAULT_CLUSTER_START: [
    -112,
    (f) => `row ${f.row}, cluster ${f.index} starts at token ${f.value}, not where it should`,
  ],
  FAULT_TOKEN_SUM: [-113, (f) => `row ${f.row} has ${f.value} tokens in its clusters`],
  FAULT_CLUSTER_FLAGS: [-114, (f) => `row ${f.row}, cluster ${f.index} has flags ${f.value}, which its state forbids`],
  FAULT_FREE_BLOCKS: [-120, () => "the list of free blocks does not hold each free block once"],
  FAULT_BLOCK_OWNER: [-121, (f) => `cached cluster ${f.index} names block ${f.value}, which is not its own`],
  FAULT_BLOCKS_USED: [-122, () => "used and free blocks do not add up to all blocks"],
  FAULT_POLICY_LIST: [-130, (f) => `the policy's list is broken at place ${f.index}`],
  FAULT_POLICY_HAND: [-131, () => "the policy's hand points out of its list"],
  FAULT_CACHED_CLUSTER: [-132, (f) => `cached record ${f.index} and cluster ${f.value} do not name each other`],
  FAULT_NUM_CACHED: [-133, (f) => `${f.index} clusters name a cached record, the policy's list holds ${f.value}`],
  FAULT_PENDING: [-140, (f) => `the list of pending misses is broken at place ${f.index}`],
  FAULT_ADMISSIONS: [-141, (f) => `the admissions list is broken at place ${f.index}`],
  FAULT_COUNTERS: [-142, () => "the counters contradict each other or the cache"],
};

function place(fault: ControlPlaneFault): string {
  return `row ${fault.row}, place ${fault.index}: ${fault.value}`;
}

/** A call that the control plane refused: our own mistake, never the caller's of the API. */
export class ControlPlaneError extends Error {
  /** Name of the code in `assembly/errors.ts`. */
  readonly codeName: string;

  constructor(
    readonly call: string,
    readonly code: number,
    readonly fault: ControlPlaneFault = { row: 0, index: 0, value: 0 },
    detail = "",
  ) {
    const found = Object.entries(CONTROL_PLANE_CODES).find(([, [known]]) => known === code);
    const words = found ? found[1][1](fault) : "unknown code";
    super(`control plane: ${call}: ${words}${detail === "" ? "" : ` (${detail})`}`);
    this.name = "ControlPlaneError";
    this.codeName = found ? found[0] : `UNKNOWN_${code}`;
  }
}
