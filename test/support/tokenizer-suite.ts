import { beforeAll, describe, expect, it } from "vitest";
import { byteToChar } from "../../src/text/byte-alphabet.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import type { GgufMetadata, Tokenizer } from "../../src/text/types.js";
import { readGgufMetadata } from "./gguf-metadata.js";
import { hasModel } from "./has-model.js";
import { modelPath } from "./models.js";
import { corpusCases, readExpected } from "./tokenizer-corpus.js";

const isWellFormed = (text: string) => Buffer.from(text).toString() === text;

/** Units of a text at the limits below. */
const MILLION = 1_000_000;
/** Of CPU time, which other work on the machine does not stretch. About half a second is usual; a quadratic step would take minutes. */
const MAX_ENCODE_MS = 5_000;

/** The proof of a model's tokenizer: ids equal to llama.cpp's over the corpus, and no input that takes long. */
export function describeTokenizer(model: string): void {
  const title = `tokenizer of ${model}`;
  describe.skipIf(!hasModel(model, title))(title, () => {
    const expected = readExpected(model);
    let metadata: GgufMetadata;
    let tokenizer: Tokenizer;
    beforeAll(async () => {
      metadata = await readGgufMetadata(modelPath(model));
      tokenizer = createTokenizer(metadata);
    });

    it.each(Object.keys(expected.pres))("gives llama.cpp's ids with the pre-tokenizer %s", (pre) => {
      const changed = createTokenizer(new Map([...metadata, ["tokenizer.ggml.pre", pre]]));
      const cases = corpusCases(expected, pre);
      expect(cases.length).toBeGreaterThanOrEqual(500);
      const encode = (text: string, parseSpecial: boolean) =>
        Array.from(changed.encode(text, { addSpecial: false, parseSpecial }));
      const actual = cases.map(({ text }) => ({ text, plain: encode(text, false), parsed: encode(text, true) }));
      expect(actual.filter((found, index) => JSON.stringify(found) !== JSON.stringify(cases[index]))).toEqual([]);
    });

    it("gives the same ids again from its cache", () => {
      const cases = corpusCases(expected, Object.keys(expected.pres)[0]!);
      for (const { text, plain } of [...cases, ...cases.reverse()])
        expect(Array.from(tokenizer.encode(text, { addSpecial: false, parseSpecial: false }))).toEqual(plain);
    });

    it("decodes what it encoded", () => {
      // Lone surrogates come back as U+FFFD; bytes that the vocabulary lacks are the exception that Encoder tells of.
      const lacks = (text: string) => [...Buffer.from(text)].some((byte) => !known.has(byteToChar(byte)));
      const known = new Set(metadata.get("tokenizer.ggml.tokens") as string[]);
      const cases = corpusCases(expected, Object.keys(expected.pres)[0]!);
      for (const { text } of cases.filter((entry) => isWellFormed(entry.text) && !lacks(entry.text)))
        for (const parseSpecial of [false, true])
          expect(tokenizer.decode(tokenizer.encode(text, { addSpecial: true, parseSpecial }))).toBe(text);
    });

    it("ends at the tokens at which llama.cpp ends", () => {
      // llama.cpp also ends at `</s>` where that is a normal token; text may well contain it.
      const strikethrough = (metadata.get("tokenizer.ggml.tokens") as string[]).indexOf("</s>");
      expect(tokenizer.endTokenIds).toEqual(expected.endTokenIds.filter((id) => id !== strikethrough));
    });

    it.each(["a", " ", "\n", " \n", "!", "'", "1", "漢", "<|", "\u0301", "<|im_end|>"])(
      "takes linear time for a million units of %j",
      (part) => {
        const text = part.repeat(Math.ceil(MILLION / part.length));
        const start = process.cpuUsage();
        const ids = tokenizer.encode(text, { addSpecial: false, parseSpecial: true });
        expect(process.cpuUsage(start).user / 1000).toBeLessThan(MAX_ENCODE_MS);
        expect(tokenizer.decode(ids)).toBe(text);
      },
    );
  });
}
