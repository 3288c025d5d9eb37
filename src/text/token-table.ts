import type { Tokenizer } from "./types.js";

/** The bytes of every text token, in the order of the bytes; shared between threads. */
export interface TokenTable {
  readonly vocabSize: number;
  /** i32 [numTokens] */
  readonly ids: Int32Array;
  /** i32 [numTokens + 1]: token i is bytes[offsets[i]..offsets[i + 1]). */
  readonly offsets: Int32Array;
  readonly bytes: Uint8Array;
  /** i32 [numTokens]: how many bytes a token begins with that the one before it begins with too. */
  readonly sharedBytes: Int32Array;
}

/** Control tokens, which are no text, are left out, and tokens without any bytes. Time: a sort of the vocabulary. */
export function createTokenTable(tokenizer: Tokenizer): TokenTable {
  const tokens: { id: number; text: string }[] = [];
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    // One character a byte: strings compare faster than arrays.
    const text = Buffer.from(tokenizer.tokenBytes(id, { skipSpecial: true })).toString("latin1");
    if (text !== "") tokens.push({ id, text });
  }
  tokens.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : a.id - b.id));
  const ids = shared(tokens.length);
  const offsets = shared(tokens.length + 1);
  const sharedBytes = shared(tokens.length);
  for (const [index, { id, text }] of tokens.entries()) {
    ids[index] = id;
    offsets[index + 1] = (offsets[index] as number) + text.length;
    sharedBytes[index] = commonLength(tokens[index - 1]?.text ?? "", text);
  }
  const bytes = new Uint8Array(new SharedArrayBuffer(offsets[tokens.length] as number));
  for (const [index, { text }] of tokens.entries()) bytes.set(Buffer.from(text, "latin1"), offsets[index]);
  return { vocabSize: tokenizer.vocabSize, ids, offsets, bytes, sharedBytes };
}

function shared(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(length * 4));
}

function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}
