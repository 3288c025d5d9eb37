import { gguf } from "@huggingface/gguf";
import type { GgufMetadata, GgufValue } from "../../src/text/types.js";

/** The metadata of a local GGUF file in the shape that the native reader gives them. */
export async function readGgufMetadata(path: string): Promise<GgufMetadata> {
  const { metadata } = await gguf(path, { allowLocalFile: true });
  return new Map(Object.entries(metadata).map(([key, value]) => [key, toGgufValue(value)]));
}

function toGgufValue(value: unknown): GgufValue {
  const isIntegers = Array.isArray(value) && value.length > 0 && value.every((entry) => Number.isInteger(entry));
  return isIntegers ? Int32Array.from(value as number[]) : (value as GgufValue);
}
