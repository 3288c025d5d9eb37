import { loadAddon } from "../native/addon.js";
import type { GgufMetadata } from "../text/types.js";

/** One tensor of a GGUF file. */
export interface GgufTensorInfo {
  readonly name: string;
  /** The format's name of the tensor type, such as "Q4_1". */
  readonly type: string;
  /** 1 to 4 dimensions in GGUF order: shape[0] is the contiguous one (columns). */
  readonly shape: readonly number[];
  readonly sizeBytes: number;
}

/**
 * The metadata of a GGUF file, in its order. Bytes of a string that are not UTF-8 become U+FFFD. Throws an Error
 * "<path>: <what> at byte <offset>" where the file is malformed; nothing of it is trusted unchecked.
 */
export function readGgufMetadata(path: string): GgufMetadata {
  return loadAddon().readGguf(path).metadata as GgufMetadata;
}

/** The tensors of a GGUF file, in its order. Throws as `readGgufMetadata` does. */
export function readGgufTensors(path: string): readonly GgufTensorInfo[] {
  return loadAddon().readGguf(path).tensors;
}
