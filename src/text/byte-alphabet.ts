/**
 * The byte alphabet of GPT-2 vocabularies: each of the 256 bytes is written as one printable character, so that a token's
 * text is a plain string without spaces. Printable Latin-1 bytes stand for themselves; the others take U+0100 onwards, in order.
 */
const BYTE_TO_CHAR: readonly string[] = buildAlphabet();
const CHAR_TO_BYTE: ReadonlyMap<string, number> = new Map(BYTE_TO_CHAR.map((char, byte) => [char, byte]));

function buildAlphabet(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
}

/** The character that stands for `byte` (0-255) in token texts. */
export function byteToChar(byte: number): string {
  return BYTE_TO_CHAR[byte]!;
}

/** UTF-8 bytes, each written as its character. */
export function bytesToAlphabet(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += BYTE_TO_CHAR[byte]!;
  return text;
}

/** The bytes that a token's text stands for. A character outside the alphabet stands for its own UTF-8 bytes. */
export function alphabetToBytes(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of text) {
    const byte = CHAR_TO_BYTE.get(char);
    if (byte !== undefined) bytes.push(byte);
    else bytes.push(...Buffer.from(char, "utf8"));
  }
  return Uint8Array.from(bytes);
}
