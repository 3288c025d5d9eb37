/** What the pre-tokenizers need to know of a code point. The values are the bits of a set, so that one test covers several. */
export const CharacterClass = {
  letter: 1,
  number: 2,
  whitespace: 4,
  punctuation: 8,
  other: 16,
} as const;

/**
 * Letters, numbers and punctuation of Unicode 16 and 17: `other` here. llama.cpp's tables are of Unicode 15.1, and ids must not
 * change with the Unicode version of the Node that runs (ids name segments). Hexadecimal, first-last.
 */
const NEWER_RANGES =
  "88f c5c cdc 1b4e-1b4f 1b7f 1c89-1c8a a7cb-a7cf a7d2 a7d4 a7da-a7dc a7f1 105c0-105f3 10940-10959 10d40-10d65 " +
  "10d6e-10d85 10ec2-10ec7 10ed0 11380-11389 1138b 1138e 11390-113b5 113b7 113d1 113d3-113d5 113d7-113d8 " +
  "116d0-116e3 11bc0-11be1 11bf0-11bf9 11db0-11ddb 11de0-11de9 13460-143fa 16100-1611d 16130-16139 16d40-16d79 " +
  "16ea0-16eb8 16ebb-16ed3 16ff2-16ff6 187f8-187ff 18cff 18d09-18d1e 18d80-18df2 1ccf0-1ccf9 1e5d0-1e5ed " +
  "1e5f0-1e5fa 1e5ff 1e6c0-1e6de 1e6e0-1e6e2 1e6e4-1e6e5 1e6e7-1e6ed 1e6f0-1e6f4 1e6fe-1e6ff 2b73a-2b73f " +
  "2cea2-2cead 323b0-33479";

const LAST_CODE_POINT = 0x10ffff;
// [code point] -> class, 0 where not yet asked for. 1.1 MB, shared by all tokenizers.
const CLASSES = new Uint8Array(LAST_CODE_POINT + 1);
for (const range of NEWER_RANGES.split(" ")) {
  const [first, last] = range.split("-").map((digits) => Number.parseInt(digits, 16));
  CLASSES.fill(CharacterClass.other, first, (last ?? first!) + 1);
}

/**
 * The class of a code point, by Unicode 15.1. `White_Space` is wanted, not the `\s` of JavaScript, which has U+FEFF and lacks
 * U+0085. A lone surrogate is `other`, as is the U+FFFD that replaces it.
 */
export function classOf(codePoint: number): number {
  return CLASSES[codePoint] || classify(codePoint);
}

function classify(codePoint: number): number {
  const char = String.fromCodePoint(codePoint);
  let found: number = CharacterClass.other;
  if (/\p{L}/u.test(char)) found = CharacterClass.letter;
  else if (/\p{N}/u.test(char)) found = CharacterClass.number;
  else if (/\p{White_Space}/u.test(char)) found = CharacterClass.whitespace;
  else if (/\p{P}/u.test(char)) found = CharacterClass.punctuation;
  CLASSES[codePoint] = found;
  return found;
}
