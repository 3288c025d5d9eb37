import type { KvGeometry, NativeRunner, NativeSegment, NativeSequence } from "../native/addon.js";
import { ControlPlane } from "./control-plane.js";

/** One sequence's hold on the KV cache. */
export interface KvLease {
  readonly sequence: NativeSequence;
  readonly slots: number[];
  readonly reservedBytes: number;
}

export interface KvCacheOptions {
  contextTokens: number;
  maxParallel: number;
  /** Bytes that all leases together may reserve. */
  budgetBytes: number;
  blockCacheBlocks: number;
}

const BLOCK_VECTORS = 8;
const ADMISSION_ENTRY_BYTES = 36;

/** Blocks of the block cache (8 keys and 8 values in f16) that fit into so many MiB. */
export function blocksInMiB(mebibytes: number, headDim: number): number {
  return Math.floor((mebibytes * 2 ** 20) / (2 * BLOCK_VECTORS * headDim * 2));
}

/**
 * The KV cache of a runner: sequences, their segments and the control plane that keeps the books. Bytes are reserved for a
 * sequence's whole length before anything is allocated, so an admitted sequence never runs out.
 */
export class KvCache {
  readonly geometry: KvGeometry;
  readonly controlPlane: ControlPlane;
  private reservedBytes = 0;
  private readonly leases = new Set<KvLease>();

  constructor(
    private readonly runner: NativeRunner,
    private readonly options: KvCacheOptions,
  ) {
    this.geometry = runner.geometry();
    const { numLayers, numKvHeads, maxClusters, segmentTokens, segmentBytes } = this.geometry;
    this.controlPlane = ControlPlane.create({
      numLayers,
      numKvHeads,
      maxClusters,
      segmentTokens,
      segmentCapacity: Math.max(1, Math.floor(options.budgetBytes / segmentBytes)),
      blockCapacity: options.blockCacheBlocks,
      maxRows: options.maxParallel * numKvHeads,
      maxSelectedPerRow: Math.max(1, Math.floor(options.contextTokens / segmentTokens)) * maxClusters,
      policy: "lru",
    });
    const regions = this.controlPlane.regions;
    runner.setControlPlane(regions.buffer, {
      maxRows: regions.maxRows,
      maxSelectedPerRow: regions.maxSelectedPerRow,
      maxAdmissions: Math.floor((regions.buffer.byteLength - regions.admissionsOffset) / ADMISSION_ENTRY_BYTES),
      ingestOffset: regions.ingestNumClustersOffset,
      requestOffset: regions.requestOffset,
      requestStrideBytes: regions.requestStride,
      planOffset: regions.planOffset,
      planStrideBytes: regions.planStride,
      admissionsOffset: regions.admissionsOffset,
    });
  }

  get usedBytes(): number {
    return this.reservedBytes;
  }

  get budgetBytes(): number {
    return this.options.budgetBytes;
  }

  /** Bytes that a sequence of so many tokens reserves. */
  bytesFor(numTokens: number): number {
    const { segmentTokens, segmentBytes, sequenceBytes } = this.geometry;
    return sequenceBytes + Math.floor(numTokens / segmentTokens) * segmentBytes;
  }

  /** A lease for a sequence of at most numTokens, or null while the budget is taken by others. */
  tryLease(numTokens: number): KvLease | null {
    const reservedBytes = this.bytesFor(numTokens);
    if (this.reservedBytes + reservedBytes > this.options.budgetBytes) return null;
    const lease = { sequence: this.runner.makeSequence(), slots: [], reservedBytes };
    this.reservedBytes += reservedBytes;
    this.leases.add(lease);
    return lease;
  }

  /** Builds the index of every segment that the sequence's tail has completed. Returns how many. */
  buildSegments(lease: KvLease): number {
    let built = 0;
    for (; lease.sequence.segmentReady; built++) {
      const slot = this.controlPlane.allocateSegment(this.options.blockCacheBlocks === 0);
      let segment: NativeSegment | undefined;
      try {
        segment = this.runner.buildSegment(lease.sequence, slot);
        this.controlPlane.publishSegment(slot);
        lease.sequence.attach(segment);
      } catch (error) {
        this.controlPlane.releaseSegment(slot);
        throw error;
      } finally {
        segment?.dispose();
      }
      lease.slots.push(slot);
    }
    return built;
  }

  /** After a step: copies the clusters that the control plane admits into the block cache. */
  admit(): void {
    if (this.options.blockCacheBlocks === 0) return;
    const numAdmissions = this.controlPlane.planAdmissions();
    if (numAdmissions > 0) this.runner.admit(numAdmissions);
  }

  /** Gives everything back; harmless when repeated. */
  release(lease: KvLease): void {
    if (!this.leases.delete(lease)) return;
    for (const slot of lease.slots) this.controlPlane.releaseSegment(slot);
    lease.sequence.dispose();
    this.reservedBytes -= lease.reservedBytes;
  }

  /** Throws where the books disagree: with themselves, or with the leases. */
  checkIntegrity(): void {
    this.controlPlane.checkIntegrity();
    let slots = 0;
    let bytes = 0;
    for (const lease of this.leases) {
      slots += lease.slots.length;
      bytes += lease.reservedBytes;
      if (lease.slots.length !== lease.sequence.numSegments) {
        throw new Error(`a sequence of ${lease.sequence.numSegments} segments holds ${lease.slots.length} slots`);
      }
    }
    const live = this.controlPlane.stats().segmentsLive;
    if (slots !== live) throw new Error(`leases hold ${slots} segments, the control plane ${live}`);
    if (bytes !== this.reservedBytes)
      throw new Error(`leases hold ${bytes} bytes, the books say ${this.reservedBytes}`);
  }
}
