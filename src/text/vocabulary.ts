import { byteToChar } from "./byte-alphabet.js";
import { MergeTable } from "./merge-table.js";
import * as field from "./metadata-field.js";
import { findPreTokenizer, PRE_TOKENIZER_NAMES, type PreTokenizer } from "./pre-tokenizer.js";
import { endNames, isControlLooking } from "./special-names.js";
import type { GgufMetadata } from "./types.js";

/** `tokenizer.ggml.token_type`: what a token is, by GGUF's numbers. */
export const TokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const MODEL_KEY = "tokenizer.ggml.model";
const PRE_KEY = "tokenizer.ggml.pre";
const TOKENS_KEY = "tokenizer.ggml.tokens";
const MERGES_KEY = "tokenizer.ggml.merges";
const TYPES_KEY = "tokenizer.ggml.token_type";
const ADD_BOS_KEY = "tokenizer.ggml.add_bos_token";

/** A byte-pair vocabulary, checked: every id in it is below `tokens.length`, every merge names known tokens. */
export interface Vocabulary {
  readonly preTokenizer: PreTokenizer;
  /** True where a word that is a token as a whole is taken as it is, without merging. */
  readonly wholeWords: boolean;
  /** [id] -> text in the byte alphabet (control and user-defined tokens: plain text). */
  readonly tokens: readonly string[];
  /** [id] -> a `TokenType`. */
  readonly types: Int32Array;
  readonly idOf: ReadonlyMap<string, number>;
  readonly merges: MergeTable;
  /** [byte] -> id, or -1 where the vocabulary has no token for the byte. */
  readonly byteIds: Int32Array;
  readonly bosTokenId: number | null;
  readonly eosTokenId: number;
  readonly addBos: boolean;
  readonly endTokenIds: readonly number[];
  /** Ids whose text becomes the token itself when special tokens are parsed. */
  readonly specialIds: readonly number[];
}

/** Reads and checks `tokenizer.ggml.*`. Throws an Error that names the key and the value at fault. */
export function readVocabulary(metadata: GgufMetadata): Vocabulary {
  const model = field.string(metadata, MODEL_KEY);
  if (model !== "gpt2") throw new Error(`${MODEL_KEY}: ${JSON.stringify(model)} is not supported (supported: "gpt2")`);
  const pre = field.string(metadata, PRE_KEY);
  const preTokenizer = findPreTokenizer(pre);
  if (preTokenizer === null)
    throw new Error(
      `${PRE_KEY}: ${JSON.stringify(pre)} is not supported (supported: ${PRE_TOKENIZER_NAMES.join(", ")})`,
    );
  const tokens = field.strings(metadata, TOKENS_KEY);
  const idOf = indexTokens(tokens);
  const types = readTypes(metadata, tokens.length);
  const bosTokenId = field.tokenId(metadata, "tokenizer.ggml.bos_token_id", tokens.length);
  const eosTokenId = field.tokenId(metadata, "tokenizer.ggml.eos_token_id", tokens.length);
  if (eosTokenId === null) throw new Error("tokenizer.ggml.eos_token_id: missing");
  const wholeWords = pre === "llama-bpe";
  return {
    preTokenizer,
    wholeWords,
    tokens,
    types,
    idOf,
    merges: readMerges(metadata, idOf),
    byteIds: Int32Array.from({ length: 256 }, (_, byte) => idOf.get(byteToChar(byte)) ?? -1),
    bosTokenId,
    eosTokenId,
    addBos: readAddBos(metadata, bosTokenId, pre === "llama-bpe"),
    endTokenIds: findEndTokens(metadata, idOf, types, eosTokenId),
    specialIds: tokens.flatMap((text, id) => (isSpecial(types[id]!) || isControlLooking(text) ? [id] : [])),
  };
}

function isSpecial(type: number): boolean {
  return type === TokenType.control || type === TokenType.userDefined || type === TokenType.unknown;
}

function indexTokens(tokens: readonly string[]): Map<string, number> {
  if (tokens.length === 0) throw new Error(`${TOKENS_KEY}: empty`);
  const idOf = new Map<string, number>();
  for (const [id, text] of tokens.entries()) {
    const other = idOf.get(text);
    if (other !== undefined) throw new Error(`${TOKENS_KEY}: ${JSON.stringify(text)} is both token ${other} and ${id}`);
    if (text !== "") idOf.set(text, id);
  }
  return idOf;
}

function readTypes(metadata: GgufMetadata, numTokens: number): Int32Array {
  const types = metadata.has(TYPES_KEY) ? field.integers(metadata, TYPES_KEY) : null;
  if (types === null) return new Int32Array(numTokens).fill(TokenType.normal);
  if (types.length !== numTokens)
    throw new Error(`${TYPES_KEY}: ${types.length} entries for ${numTokens} tokens of ${TOKENS_KEY}`);
  const bad = types.findIndex((type) => type < TokenType.normal || type > TokenType.byte);
  if (bad >= 0) throw new Error(`${TYPES_KEY}: token ${bad} has type ${types[bad]}, known are 1 to 6`);
  return types;
}

function readMerges(metadata: GgufMetadata, idOf: ReadonlyMap<string, number>): MergeTable {
  const lines = field.strings(metadata, MERGES_KEY);
  const merges = new MergeTable(lines.length);
  for (const [rank, line] of lines.entries()) {
    // From 1 on: a left part may itself begin with a space in vocabularies outside the byte alphabet.
    const space = line.indexOf(" ", 1);
    const where = () => `${MERGES_KEY}: merge ${rank} (${JSON.stringify(line)})`;
    if (space < 0 || space === line.length - 1) throw new Error(`${where()} is not two parts with a space between`);
    const [left, right] = [line.slice(0, space), line.slice(space + 1)];
    const ids = [left, right, left + right].map((text) => {
      const id = idOf.get(text);
      if (id === undefined) throw new Error(`${where()} names ${JSON.stringify(text)}, which is no token`);
      return id;
    });
    merges.add(ids[0]!, ids[1]!, ids[2]!);
  }
  return merges;
}

/** Vocabularies of the Llama 3 kind want BOS unless they say otherwise; the others only where they say so. */
function readAddBos(metadata: GgufMetadata, bosTokenId: number | null, byDefault: boolean): boolean {
  if (!metadata.has(ADD_BOS_KEY)) return byDefault && bosTokenId !== null;
  const addBos = field.boolean(metadata, ADD_BOS_KEY);
  if (addBos && bosTokenId === null)
    throw new Error(`${ADD_BOS_KEY}: true, but tokenizer.ggml.bos_token_id is missing`);
  return addBos;
}

/** EOS, EOT and EOM as the file names them, then tokens known to end a turn where they are control tokens here. */
function findEndTokens(
  metadata: GgufMetadata,
  idOf: ReadonlyMap<string, number>,
  types: Int32Array,
  eosTokenId: number,
): number[] {
  const ends = new Set([eosTokenId]);
  for (const key of ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"]) {
    const id = field.tokenId(metadata, key, types.length);
    if (id !== null) ends.add(id);
  }
  for (const name of endNames) {
    const id = idOf.get(name);
    if (id !== undefined && types[id] === TokenType.control) ends.add(id);
  }
  return [...ends].sort((a, b) => a - b);
}
