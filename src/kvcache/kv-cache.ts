import type { KvGeometry, KvType, NativeRunner, NativeSegment, NativeSequence } from "../native/addon.js";
import { ControlPlane } from "./control-plane.js";
import { type KnownSegment, PrefixCache, ROOT_ID, segmentId } from "./prefix-cache.js";

/** One sequence's hold on the KV cache. */
export interface KvLease {
  readonly sequence: NativeSequence;
  /** Control-plane slots of its segments, in order. */
  readonly slots: number[];
  readonly reservedBytes: number;
  /** Tokens that it began with, taken from known segments. */
  readonly cachedTokens: number;
}

interface OpenLease extends KvLease {
  /** Its segments that the prefix cache knows. */
  readonly known: KnownSegment[];
  /** Tokens in the KV cache that are in no segment yet. */
  tailTokens: number[];
  lastSegmentId: string;
}

export interface KvCacheOptions {
  contextTokens: number;
  maxParallel: number;
  /** Bytes that all leases together may reserve. */
  budgetBytes: number;
  blockCacheBlocks: number;
  localWindow: number;
  /** Whether prompts may begin with segments of earlier ones. */
  reusePrefixes: boolean;
}

const BLOCK_VECTORS = 8;

/** Blocks of the block cache (the records of 8 tokens, as KvRange in native/include/kernels.h draws them) in so many MiB. */
export function blocksInMiB(mebibytes: number, headDim: number, kvType: KvType): number {
  const recordBytes = kvType === "q8" ? 2 * headDim + 8 : 4 * headDim;
  return Math.floor((mebibytes * 2 ** 20) / (BLOCK_VECTORS * recordBytes));
}

/**
 * The KV cache of a runner: sequences, their segments and the control plane that keeps the books. Bytes are reserved for a
 * sequence's whole length before anything is allocated, so an admitted sequence never runs out.
 */
export class KvCache {
  readonly geometry: KvGeometry;
  readonly controlPlane: ControlPlane;
  private reservedBytes = 0;
  private readonly leases = new Set<OpenLease>();
  private readonly prefixCache = new PrefixCache(({ slot, segment }) => {
    segment.dispose();
    this.controlPlane.releaseSegment(slot);
  });

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
      maxAdmissions: Math.floor((regions.buffer.byteLength - regions.admissionsOffset) / regions.admissionStride),
      ingestOffset: regions.ingestNumClustersOffset,
      requestOffset: regions.requestOffset,
      requestStrideBytes: regions.requestStride,
      planOffset: regions.planOffset,
      planStrideBytes: regions.planStride,
      admissionsOffset: regions.admissionsOffset,
    });
  }

  /** Bytes reserved by sequences, and bytes of segments that are kept for prompts to come. */
  get usedBytes(): number {
    return this.reservedBytes + this.prefixCache.numIdle * this.geometry.segmentBytes;
  }

  get budgetBytes(): number {
    return this.options.budgetBytes;
  }

  /** Bytes that a sequence of so many tokens reserves. */
  bytesFor(numTokens: number): number {
    const { segmentTokens, segmentBytes, sequenceBytes } = this.geometry;
    return sequenceBytes + Math.floor(numTokens / segmentTokens) * segmentBytes;
  }

  /**
   * A lease for a sequence of at most numTokens that begins with promptTokens, or null while the budget is taken by others.
   * Known segments of the same beginning are in it already; the rest of the prompt, at least its local window, is not.
   */
  tryLease(numTokens: number, promptTokens: Int32Array = new Int32Array(0)): KvLease | null {
    const { segmentBytes, segmentTokens } = this.geometry;
    const { budgetBytes, localWindow, reusePrefixes } = this.options;
    const reservedBytes = this.bytesFor(numTokens);
    const leftBytes = budgetBytes - this.reservedBytes - reservedBytes;
    if (leftBytes < 0) return null;
    const maxSegments = reusePrefixes ? Math.floor((promptTokens.length - localWindow) / segmentTokens) : 0;
    const known = this.prefixCache.longestChain(promptTokens, segmentTokens, maxSegments);
    for (const segment of known) this.prefixCache.hold(segment);
    this.prefixCache.shrink(Math.floor(leftBytes / segmentBytes));
    const lease: OpenLease = {
      sequence: this.runner.makeSequence(),
      slots: [],
      reservedBytes,
      cachedTokens: known.length * segmentTokens,
      known,
      tailTokens: [],
      lastSegmentId: known.at(-1)?.id ?? ROOT_ID,
    };
    for (const { slot, segment } of known) {
      lease.sequence.adopt(segment);
      this.controlPlane.retainSegment(slot);
      lease.slots.push(slot);
    }
    this.reservedBytes += reservedBytes;
    this.leases.add(lease);
    return lease;
  }

  /**
   * A lease for a sequence of at most numTokens with all tokens of another, or null while the budget is taken by others. It
   * shares the segments; the tail is copied.
   */
  tryFork(source: KvLease, numTokens: number): KvLease | null {
    const reservedBytes = this.bytesFor(numTokens);
    const leftBytes = this.options.budgetBytes - this.reservedBytes - reservedBytes;
    if (leftBytes < 0) return null;
    const { slots, known, tailTokens, lastSegmentId, sequence } = source as OpenLease;
    for (const segment of known) this.prefixCache.hold(segment);
    this.prefixCache.shrink(Math.floor(leftBytes / this.geometry.segmentBytes));
    for (const slot of slots) this.controlPlane.retainSegment(slot);
    const lease: OpenLease = {
      sequence: sequence.fork(),
      slots: [...slots],
      reservedBytes,
      cachedTokens: sequence.numTokens,
      known: [...known],
      tailTokens: [...tailTokens],
      lastSegmentId,
    };
    this.reservedBytes += reservedBytes;
    this.leases.add(lease);
    return lease;
  }

  /** Notes the tokens that a step has put into a sequence's tail, and builds the segments that they complete. */
  append(lease: KvLease, tokens: Int32Array): number {
    if (this.options.reusePrefixes) (lease as OpenLease).tailTokens.push(...tokens);
    return this.buildSegments(lease);
  }

  /** Builds the index of every segment that the sequence's tail has completed. Returns how many. */
  buildSegments(lease: KvLease): number {
    let built = 0;
    for (; lease.sequence.segmentReady; built++) this.buildSegment(lease as OpenLease);
    return built;
  }

  private buildSegment(lease: OpenLease): void {
    const { segmentTokens } = this.geometry;
    const slot = this.controlPlane.allocateSegment(this.options.blockCacheBlocks === 0);
    let segment: NativeSegment;
    try {
      segment = this.runner.buildSegment(lease.sequence, slot);
      this.controlPlane.publishSegment(slot);
      lease.sequence.attach(segment);
    } catch (error) {
      this.controlPlane.releaseSegment(slot);
      throw error;
    }
    lease.slots.push(slot);
    if (!this.options.reusePrefixes) {
      segment.dispose();
      return;
    }
    lease.lastSegmentId = segmentId(lease.lastSegmentId, Int32Array.from(lease.tailTokens.splice(0, segmentTokens)));
    if (this.prefixCache.has(lease.lastSegmentId)) {
      segment.dispose(); // another sequence built the same one meanwhile
      return;
    }
    this.controlPlane.retainSegment(slot);
    lease.known.push(this.prefixCache.add(lease.lastSegmentId, slot, segment));
  }

  /** After a step: copies the clusters that the control plane admits into the block cache. */
  admit(): void {
    if (this.options.blockCacheBlocks === 0) return;
    const numAdmissions = this.controlPlane.planAdmissions();
    if (numAdmissions > 0) this.runner.admit(numAdmissions);
  }

  /** Gives the sequence's memory back, but for segments that the budget lets stay for prompts to come. */
  release(lease: KvLease): void {
    const open = lease as OpenLease;
    if (!this.leases.delete(open)) return;
    for (const slot of open.slots) this.controlPlane.releaseSegment(slot);
    open.sequence.dispose();
    this.reservedBytes -= open.reservedBytes;
    for (const segment of open.known) this.prefixCache.letGo(segment);
    this.prefixCache.shrink(Math.floor((this.options.budgetBytes - this.reservedBytes) / this.geometry.segmentBytes));
  }

  /** Throws where the books disagree: with themselves, or with the leases and known segments. */
  checkIntegrity(): void {
    this.controlPlane.checkIntegrity();
    const slots = new Set<number>();
    let bytes = 0;
    for (const lease of this.leases) {
      for (const slot of lease.slots) slots.add(slot);
      bytes += lease.reservedBytes;
      if (lease.slots.length !== lease.sequence.numSegments) {
        throw new Error(`a sequence of ${lease.sequence.numSegments} segments holds ${lease.slots.length} slots`);
      }
    }
    const held = slots.size + this.prefixCache.numIdle;
    const live = this.controlPlane.stats().segmentsLive;
    if (held !== live) throw new Error(`leases and known segments hold ${held} slots, the control plane ${live}`);
    if (bytes !== this.reservedBytes)
      throw new Error(`leases hold ${bytes} bytes, the books say ${this.reservedBytes}`);
    if (this.usedBytes > this.options.budgetBytes) {
      throw new Error(`${this.usedBytes} bytes are in use, over the budget of ${this.options.budgetBytes}`);
    }
  }
}
