import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { byteToChar } from "../../src/text/byte-alphabet.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import type { GgufMetadata, Tokenizer } from "../../src/text/types.js";
import { readGgufMetadata } from "../support/gguf-metadata.js";
import { hasModel } from "../support/has-model.js";
import { modelPath } from "../support/models.js";

const MODEL = "smollm2-135m";
const IM_END = 2;
const VOCAB_SIZE = 49_152;

describe.skipIf(!hasModel(MODEL, "detokenizer"))("detokenizer", () => {
  let metadata: GgufMetadata;
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    metadata = await readGgufMetadata(modelPath(MODEL));
    tokenizer = createTokenizer(metadata);
  });
  const encode = (text: string) => tokenizer.encode(text, { addSpecial: false, parseSpecial: true });
  const byteIds = (...bytes: number[]) =>
    bytes.map((byte) => (metadata.get("tokenizer.ggml.tokens") as string[]).indexOf(byteToChar(byte)));
  const streamed = (ids: readonly number[], skipSpecial: boolean) => {
    const stream = tokenizer.stream({ skipSpecial });
    return [...ids.map((id) => stream.push(id)), stream.end()];
  };

  it("holds a character back until it is whole", () => {
    expect(streamed(byteIds(0xf0, 0x9f, 0x99, 0x82, 0x41), false)).toEqual(["", "", "", "🙂", "A", ""]);
  });

  it("holds a character back over a special token that is left out", () => {
    const [first, second] = byteIds(0xc3, 0xa9);
    expect(streamed([first!, IM_END, second!], true)).toEqual(["", "", "é", ""]);
    expect(streamed([first!, IM_END, second!], false).join("")).toBe("\ufffd<|im_end|>\ufffd");
  });

  it("replaces what is not UTF-8, and what is cut off at the end", () => {
    const ids = byteIds(0x41, 0x80, 0xe2, 0x82, 0x42, 0xe2, 0x82);
    const expected = new TextDecoder().decode(Uint8Array.of(0x41, 0x80, 0xe2, 0x82, 0x42, 0xe2, 0x82));
    expect(tokenizer.decode(ids)).toBe(expected);
    expect(streamed(ids, false).join("")).toBe(expected);
    expect(streamed(ids, false).at(-1)).toBe("\ufffd");
  });

  it("streams any ids to what decoding them at once gives", () => {
    const anyId = fc.oneof(fc.nat(VOCAB_SIZE - 1), fc.nat(300));
    fc.assert(
      fc.property(fc.array(anyId, { maxLength: 60 }), fc.boolean(), (ids, skipSpecial) => {
        expect(streamed(ids, skipSpecial).join("")).toBe(tokenizer.decode(ids, { skipSpecial }));
      }),
      { numRuns: 500 },
    );
  });

  it("leaves control tokens out on demand", () => {
    const ids = encode("<|im_start|>user\nhi<|im_end|>\n");
    expect(tokenizer.decode(ids)).toBe("<|im_start|>user\nhi<|im_end|>\n");
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe("user\nhi\n");
  });

  it("keeps U+FEFF, a token like others", () => {
    expect(tokenizer.decode(encode("\ufeffa"))).toBe("\ufeffa");
  });

  it("gives no text for unused tokens", () => {
    const types = Int32Array.from(metadata.get("tokenizer.ggml.token_type") as Int32Array);
    types[5000] = 5;
    const padded = createTokenizer(new Map([...metadata, ["tokenizer.ggml.token_type", types]]));
    expect(tokenizer.decode([5000])).not.toBe("");
    expect(padded.decode([5000])).toBe("");
  });

  it.each([-1, VOCAB_SIZE, 1.5, Number.NaN])("refuses the id %d", (id) => {
    expect(() => tokenizer.decode([id])).toThrow(/is outside the vocabulary of 49152 tokens/);
    expect(() => tokenizer.stream().push(id)).toThrow(RangeError);
  });
});
