import { beforeAll, describe, expect, it } from "vitest";
import { createTokenizer } from "../../src/text/tokenizer.js";
import type { GgufMetadata, GgufValue, Tokenizer } from "../../src/text/types.js";
import { readGgufMetadata } from "../support/gguf-metadata.js";
import { hasModel } from "../support/has-model.js";
import { modelPath } from "../support/models.js";
import { describeTokenizer } from "../support/tokenizer-suite.js";

const MODEL = "smollm2-135m";
const PLAIN = { addSpecial: true, parseSpecial: false };

describeTokenizer(MODEL);

describe.skipIf(!hasModel(MODEL, "BOS and refusals"))("metadata of a tokenizer", () => {
  let metadata: GgufMetadata;
  beforeAll(async () => {
    metadata = await readGgufMetadata(modelPath(MODEL));
  });
  const key = (name: string) => `tokenizer.ggml.${name}`;
  const changed = (name: string, value: GgufValue) => new Map([...metadata, [key(name), value]]);
  const without = (...names: string[]) => new Map([...metadata].filter(([name]) => !names.map(key).includes(name)));

  it("names the tokens of the file", () => {
    expect(createTokenizer(metadata)).toMatchObject({ vocabSize: 49152, bosTokenId: 1, eosTokenId: 2 });
  });

  it("adds BOS where the file asks for it and the caller allows it", () => {
    const tokenizer = createTokenizer(changed("add_bos_token", true));
    expect(tokenizer.encode("", PLAIN)).toEqual(Int32Array.of(1));
    expect(tokenizer.encode("", { ...PLAIN, addSpecial: false })).toHaveLength(0);
    expect(createTokenizer(metadata).encode("", PLAIN)).toHaveLength(0);
    expect(createTokenizer(without("add_bos_token")).encode("", PLAIN)).toHaveLength(0);
  });

  it("adds BOS by default for llama-bpe", () => {
    const llama = new Map([...without("add_bos_token"), [key("pre"), "llama-bpe"]]);
    expect(createTokenizer(llama).encode("", PLAIN)).toEqual(Int32Array.of(1));
    llama.delete(key("bos_token_id"));
    expect(createTokenizer(llama).encode("", PLAIN)).toHaveLength(0);
  });

  it("takes the end tokens that the file names", () => {
    expect(createTokenizer(changed("eot_token_id", 17)).endTokenIds).toContain(17);
    expect(createTokenizer(changed("eom_token_id", 18)).endTokenIds).toContain(18);
  });

  it("takes a word that is a token as it is for llama-bpe, and merges it for others", () => {
    const fewMerges = changed("merges", ["h e"]);
    const tokens = metadata.get(key("tokens")) as string[];
    const words = (pre: string) =>
      Array.from(
        createTokenizer(new Map([...fewMerges, [key("pre"), pre]])).encode("he the", { ...PLAIN, addSpecial: false }),
      );
    const ids = (...texts: string[]) => texts.map((text) => tokens.indexOf(text));
    expect(words("llama-bpe")).toEqual(ids("he", "Ġthe"));
    expect(words("gpt-2")).toEqual(ids("he", "Ġ", "t", "he"));
  });

  it("finds user-defined tokens in any text", () => {
    const types = Int32Array.from(metadata.get(key("token_type")) as Int32Array).fill(4, 3, 4);
    const encode = (tokenizer: Tokenizer) =>
      Array.from(tokenizer.encode("a<repo_name>", { ...PLAIN, addSpecial: false }));
    expect(encode(createTokenizer(metadata))).not.toContain(3);
    expect(encode(createTokenizer(changed("token_type", types)))).toContain(3);
  });

  it("prefers the longer of two special tokens that overlap", () => {
    const tokens = [...(metadata.get(key("tokens")) as string[])];
    tokens[3] = "|>longer>";
    tokens[4] = "|>longer and longer>";
    const tokenizer = createTokenizer(changed("tokens", tokens));
    const encode = (text: string) => Array.from(tokenizer.encode(text, { addSpecial: false, parseSpecial: true }));
    expect(encode("<|im_end|>longer>")).toEqual([2, ...encode("longer>")]);
    expect(encode("<|im_end|>longer and longer>")).toEqual([...encode("<|im_end"), 4]);
  });

  it.each<[string, GgufValue, RegExp]>([
    ["model", "llama", /tokenizer\.ggml\.model: "llama" is not supported/],
    ["pre", "tekken", /tokenizer\.ggml\.pre: "tekken" is not supported.*smollm/],
    ["pre", 3, /tokenizer\.ggml\.pre: a string is needed, not 3/],
    [
      "tokens",
      Int32Array.of(1, 2),
      /tokenizer\.ggml\.tokens: an array of strings is needed, not Int32Array of 2 entries/,
    ],
    ["tokens", [], /tokenizer\.ggml\.tokens: empty/],
    ["tokens", ["a", "b", "a"], /tokenizer\.ggml\.tokens: "a" is both token 0 and 2/],
    ["token_type", Int32Array.of(1), /tokenizer\.ggml\.token_type: 1 entries for 49152 tokens/],
    ["token_type", new Int32Array(49152).fill(7), /tokenizer\.ggml\.token_type: token 0 has type 7/],
    ["token_type", ["a"], /tokenizer\.ggml\.token_type: an array of 32-bit integers is needed/],
    ["merges", ["a b", "ab"], /tokenizer\.ggml\.merges: merge 1 \("ab"\) is not two parts/],
    ["merges", ["a "], /tokenizer\.ggml\.merges: merge 0 \("a "\) is not two parts/],
    ["merges", ["a \u0000"], /merge 0 .* names "\\u0000", which is no token/],
    ["merges", ["zz zzzzzzzz"], /merge 0 \("zz zzzzzzzz"\) names "zzzzzzzz"/],
    ["bos_token_id", 49152, /tokenizer\.ggml\.bos_token_id: 49152 is outside the vocabulary of 49152 tokens/],
    ["eos_token_id", -1, /tokenizer\.ggml\.eos_token_id: -1 is outside/],
    ["eot_token_id", 1.5, /tokenizer\.ggml\.eot_token_id: a token id is needed, not 1\.5/],
    ["add_bos_token", "yes", /tokenizer\.ggml\.add_bos_token: a boolean is needed, not "yes"/],
  ])("refuses a bad %s (case %#)", (name, value, message) => {
    expect(() => createTokenizer(changed(name, value))).toThrow(message);
  });

  it.each(["model", "pre", "tokens", "merges", "eos_token_id"])("refuses metadata without %s", (name) => {
    expect(() => createTokenizer(without(name))).toThrow(`tokenizer.ggml.${name}: missing`);
  });

  it("refuses to add a BOS that the file does not name", () => {
    const noBos = without("bos_token_id");
    expect(() => createTokenizer(noBos.set(key("add_bos_token"), true))).toThrow(/add_bos_token: true, but/);
  });
});
