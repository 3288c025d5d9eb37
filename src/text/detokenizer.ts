import { TextDecoder } from "node:util";
import { alphabetToBytes } from "./byte-alphabet.js";
import type { DetokenizerStream } from "./types.js";
import { TokenType, type Vocabulary } from "./vocabulary.js";

/** Ids to text, from the bytes of each token. */
export class Detokenizer {
  // All tokens' bytes, one after another; token i is bytes[offsets[i]..offsets[i + 1]).
  private readonly bytes: Uint8Array;
  private readonly offsets: Int32Array;
  private readonly types: Int32Array;

  constructor(vocabulary: Vocabulary) {
    this.types = vocabulary.types;
    const chunks = vocabulary.tokens.map((text, id) => bytesOfToken(text, vocabulary.types[id]!));
    this.offsets = new Int32Array(chunks.length + 1);
    for (const [id, chunk] of chunks.entries()) this.offsets[id + 1] = this.offsets[id]! + chunk.length;
    this.bytes = Buffer.concat(chunks);
  }

  /** Throws a RangeError on an id outside the vocabulary. */
  decode(ids: ArrayLike<number>, skipSpecial: boolean): string {
    let sizeBytes = 0;
    for (let index = 0; index < ids.length; index++) sizeBytes += this.sizeOf(ids[index]!, skipSpecial);
    const text = new Uint8Array(sizeBytes);
    let position = 0;
    for (let index = 0; index < ids.length; index++) {
      const start = this.offsets[ids[index]!]!;
      const size = this.sizeOf(ids[index]!, skipSpecial);
      // Byte by byte: for a few bytes a view costs more than the copy.
      for (let byte = 0; byte < size; byte++) text[position++] = this.bytes[start + byte]!;
    }
    return newDecoder().decode(text);
  }

  stream(skipSpecial: boolean): DetokenizerStream {
    const decoder = newDecoder();
    return {
      push: (id) => decoder.decode(this.bytesOf(id, skipSpecial), { stream: true }),
      end: () => decoder.decode(),
    };
  }

  /** A copy; throws a RangeError on an id outside the vocabulary. */
  tokenBytes(id: number, skipSpecial: boolean): Uint8Array {
    return this.bytesOf(id, skipSpecial).slice();
  }

  private bytesOf(id: number, skipSpecial: boolean): Uint8Array {
    const size = this.sizeOf(id, skipSpecial);
    return this.bytes.subarray(this.offsets[id]!, this.offsets[id]! + size);
  }

  private sizeOf(id: number, skipSpecial: boolean): number {
    if (!Number.isInteger(id) || id < 0 || id >= this.types.length)
      throw new RangeError(`token id ${id} is outside the vocabulary of ${this.types.length} tokens`);
    if (skipSpecial && this.types[id] === TokenType.control) return 0;
    return this.offsets[id + 1]! - this.offsets[id]!;
  }
}

/** Special tokens carry their text as it is; unused ones, which pad a vocabulary to a round size, carry none. */
function bytesOfToken(text: string, type: number): Uint8Array {
  if (type === TokenType.unused) return new Uint8Array(0);
  const isPlain = type === TokenType.control || type === TokenType.userDefined || type === TokenType.unknown;
  return isPlain ? Buffer.from(text, "utf8") : alphabetToBytes(text);
}

/** The WHATWG decoder holds back an incomplete character, and replaces what is not UTF-8. U+FEFF is a character like others. */
function newDecoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}
