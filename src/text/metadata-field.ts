import type { GgufMetadata, GgufValue } from "./types.js";

/** Typed access to GGUF metadata. Each function throws an Error naming the key, what was wanted and what is there. */

export function string(metadata: GgufMetadata, key: string): string {
  const value = required(metadata, key, "a string");
  return typeof value === "string" ? value : wrongType(key, "a string", value);
}

export function boolean(metadata: GgufMetadata, key: string): boolean {
  const value = required(metadata, key, "a boolean");
  return typeof value === "boolean" ? value : wrongType(key, "a boolean", value);
}

export function strings(metadata: GgufMetadata, key: string): readonly string[] {
  const value = required(metadata, key, "an array of strings");
  const isStrings = Array.isArray(value) && value.every((entry) => typeof entry === "string");
  return isStrings ? (value as string[]) : wrongType(key, "an array of strings", value);
}

export function integers(metadata: GgufMetadata, key: string): Int32Array {
  const value = required(metadata, key, "an array of 32-bit integers");
  return value instanceof Int32Array ? value : wrongType(key, "an array of 32-bit integers", value);
}

/** A token id below `numTokens`, or null where the key is absent. */
export function tokenId(metadata: GgufMetadata, key: string, numTokens: number): number | null {
  const value = metadata.get(key);
  if (value === undefined) return null;
  if (typeof value !== "number" || !Number.isInteger(value)) return wrongType(key, "a token id", value);
  if (value < 0 || value >= numTokens)
    throw new Error(`${key}: ${value} is outside the vocabulary of ${numTokens} tokens`);
  return value;
}

function required(metadata: GgufMetadata, key: string, wanted: string): GgufValue {
  const value = metadata.get(key);
  if (value === undefined) throw new Error(`${key}: missing, ${wanted} is needed`);
  return value;
}

function wrongType(key: string, wanted: string, value: GgufValue): never {
  throw new Error(`${key}: ${wanted} is needed, not ${describe(value)}`);
}

function describe(value: GgufValue): string {
  if (typeof value === "object") return `${value.constructor.name} of ${value.length} entries`;
  return typeof value === "string" ? JSON.stringify(value.slice(0, 80)) : `${value}`;
}
