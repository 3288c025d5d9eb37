import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** What llama.cpp made of the corpus with one model's vocabulary; written by scripts/make-tokenizer-corpus.mjs. */
export interface ExpectedIds {
  corpusHash: string;
  endTokenIds: number[];
  /** [pre-tokenizer][text] -> ids as that script encodes them; the first pre-tokenizer is the model's own. */
  pres: Record<string, string[]>;
}

export interface CorpusCase {
  text: string;
  plain: number[];
  parsed: number[];
}

export function readExpected(model: string): ExpectedIds {
  return readFixture(`${model}.json`) as ExpectedIds;
}

/** The corpus with the ids expected of one pre-tokenizer. */
export function corpusCases(expected: ExpectedIds, pre: string): CorpusCase[] {
  const { texts } = readFixture("corpus.json") as { texts: string[] };
  const hash = createHash("sha256").update(JSON.stringify(texts)).digest("hex");
  if (hash !== expected.corpusHash) throw new Error("the expected ids are of another corpus: run the script again");
  const native = Object.values(expected.pres)[0]!;
  return texts.map((text, index) => {
    const encoded = (expected.pres[pre]![index] || native[index]!).replace(";", "");
    const [plain, parsed] = encoded.split("|");
    return { text, plain: toIds(plain!), parsed: toIds(parsed ?? plain!) };
  });
}

function toIds(encoded: string): number[] {
  return encoded === "" ? [] : encoded.split(" ").map((id) => Number.parseInt(id, 36));
}

function readFixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../fixtures/tokenizer/${name}`, import.meta.url), "utf8"));
}
