import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findPreTokenizer, PRE_TOKENIZER_NAMES } from "../../src/text/pre-tokenizer.js";

const CONTRACTIONS = "'(?:s|t|re|ve|m|ll|d)";
const ANY_CASE = "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const WORDS =
  " ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+";
const llama3 = (maxDigits: number) =>
  `${ANY_CASE}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,${maxDigits}}| ?[^\\p{White_Space}\\p{L}\\p{N}]+[\\r\\n]*` +
  "|\\p{White_Space}*[\\r\\n]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+";

/** What the scanners stand for: regular expressions, each applied to the pieces of the one before it. */
const REFERENCE: Record<string, string[]> = {
  smollm: ["\\p{N}", `${CONTRACTIONS}|${WORDS}`],
  "gpt-2": [`${CONTRACTIONS}|${WORDS}`],
  gpt2: [`${CONTRACTIONS}|${WORDS}`],
  default: ["[\\p{P}$+<=>^~|]+", `${CONTRACTIONS}|${WORDS}`, "\\p{N}+", "[0-9][0-9][0-9]"],
  qwen2: [llama3(1)],
  "llama-bpe": [llama3(3)],
};

function split(name: string, text: string): string[] {
  const pieces: string[] = [];
  findPreTokenizer(name)!(text, 0, text.length, (start, end) => pieces.push(text.slice(start, end)));
  return pieces;
}

function splitByReference(name: string, text: string): string[] {
  return REFERENCE[name]!.reduce<string[]>(
    (pieces, source) =>
      pieces.flatMap((piece) => piece.split(new RegExp(`(${source})`, "u")).filter((part) => part !== "")),
    text === "" ? [] : [text],
  );
}

/** Characters at which the rules part, and a few others. */
const PARTS = [
  ..." \t\n\r'’aZsStTrReEvVmMlLdDéß漢٣9½0.,!?-_$+^~|(<>#\u00a0\u0085\u2028\u3000\ufeff\u200b\u0301\0",
  "🙂",
  "\u{1d7d8}",
  "\u{20000}",
  "\ud800",
  "  ",
  "\n\n",
  "12345",
  "'ll",
  "'RE",
];
const mixedText = fc.array(fc.constantFrom(...PARTS), { maxLength: 40 }).map((parts) => parts.join(""));

describe("pre-tokenizers", () => {
  it.each(PRE_TOKENIZER_NAMES)("%s splits as its regular expressions do", (name) => {
    fc.assert(
      fc.property(mixedText, (text) => {
        expect(split(name, text)).toEqual(splitByReference(name, text));
      }),
      { numRuns: 1500 },
    );
  });

  it("splits a stretch as if nothing stood around it", () => {
    const pieces: string[] = [];
    const text = "ab  cd";
    findPreTokenizer("gpt-2")!(text, 1, 4, (start, end) => pieces.push(text.slice(start, end)));
    expect(pieces).toEqual(["b", "  "]);
  });

  it("knows no other names", () => {
    expect(findPreTokenizer("tekken")).toBeNull();
    expect(findPreTokenizer("toString")).toBeNull();
  });
});
