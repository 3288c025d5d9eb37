import type { KvGeometry, NativeZones } from "../native/addon.js";
import type { Sequence } from "../scheduler/sequence.js";
import type { AttentionReport, Timings } from "./types.js";

/** Means over a sequence's decode steps, layers and heads; zeros where it decoded nothing. */
export function attentionReport(
  sequence: Sequence,
  zones: NativeZones,
  numSegments: number,
  geometry: KvGeometry,
): AttentionReport {
  const perRow = (value: number) => (zones.rows > 0 ? value / zones.rows : 0);
  const perQueryHead = (value: number) => (zones.queryHeads > 0 ? value / zones.queryHeads : 0);
  const readBytes = zones.steadyBytes + zones.indexBytes + zones.retrievalBytes + zones.estimationBytes;
  const { segmentBytes, segmentTokens, recordBytes, numLayers, numKvHeads } = geometry;
  const keyValueBytes = segmentTokens * recordBytes * numLayers * numKvHeads;
  return {
    mode: sequence.usedWave ? "wave" : "full",
    tokens: {
      steady: perRow(zones.steadyTokens),
      retrieval: perRow(zones.retrievalTokens),
      estimation: perRow(zones.estimationTokens),
    },
    mass: {
      steady: perQueryHead(zones.steadyMass),
      retrieval: perQueryHead(zones.retrievalMass),
      estimation: perQueryHead(zones.estimationMass),
      unattended: perQueryHead(zones.unattendedMass),
    },
    kvReadShare: zones.fullBytes > 0 ? readBytes / zones.fullBytes : 0,
    blockCache: { hits: zones.cacheHits, misses: zones.cacheMisses },
    indexBytes: numSegments * (segmentBytes - keyValueBytes),
    segments: numSegments,
  };
}

export function timings(sequence: Sequence, nowMs: number): Timings {
  const firstToken = sequence.firstTokenAtMs || nowMs;
  const started = sequence.startedAtMs || nowMs;
  return {
    queueMs: started - sequence.queuedAtMs,
    prefillMs: firstToken - started,
    indexBuildMs: sequence.indexBuildMs,
    decodeMs: nowMs - firstToken,
  };
}
