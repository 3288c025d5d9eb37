import { mergeSymbols } from "./bpe.js";
import { bytesToAlphabet } from "./byte-alphabet.js";
import { SpecialTokens } from "./special-tokens.js";
import { TokenList } from "./token-list.js";
import type { Vocabulary } from "./vocabulary.js";

/** Longer words are rare: they are merged each time. In UTF-16 units. */
const LONGEST_CACHED_WORD = 64;
/** Words kept with their ids; a few megabytes. The cache starts again when full. */
const MAX_CACHED_WORDS = 65_536;

/**
 * Text to ids, as llama.cpp does it: special tokens, then the pre-tokenizer's words, then merges within each word.
 * A byte without a token in the vocabulary yields none (SmolLM2 lacks eight that valid UTF-8 can contain: six control
 * characters and two lead bytes of planes without scripts). Lone surrogates are read as U+FFFD.
 */
export class Encoder {
  private readonly specialTokens: SpecialTokens;
  private readonly words = new Map<string, Int32Array>();

  constructor(private readonly vocabulary: Vocabulary) {
    this.specialTokens = new SpecialTokens(vocabulary);
  }

  encode(text: string, options: { addSpecial: boolean; parseSpecial: boolean }): Int32Array {
    const { vocabulary } = this;
    const ids = new TokenList(text.length >> 1);
    if (options.addSpecial && vocabulary.addBos) ids.push(vocabulary.bosTokenId!);
    const sink = (start: number, end: number) => this.encodeWord(text.slice(start, end), ids);
    for (const fragment of this.specialTokens.partition(text, options.parseSpecial)) {
      if (typeof fragment === "number") ids.push(fragment);
      else vocabulary.preTokenizer(text, fragment.start, fragment.end, sink);
    }
    return ids.toArray();
  }

  private encodeWord(word: string, ids: TokenList): void {
    const cached = this.words.get(word);
    if (cached !== undefined) {
      ids.append(cached, cached.length);
      return;
    }
    const bytes = Buffer.from(word, "utf8");
    const symbols = new Int32Array(bytes.length);
    const numTokens = this.wholeWord(bytes, symbols) ? 1 : this.mergeBytes(bytes, symbols);
    ids.append(symbols, numTokens);
    // A fresh string as the key: a slice would keep the whole text that it was cut from in memory.
    if (word.length <= LONGEST_CACHED_WORD) this.remember(bytes.toString("utf8"), symbols.slice(0, numTokens));
  }

  /** Puts the token that the whole word is, if it is one and the vocabulary prefers it, in `symbols[0]`. */
  private wholeWord(bytes: Uint8Array, symbols: Int32Array): boolean {
    if (!this.vocabulary.wholeWords) return false;
    const id = this.vocabulary.idOf.get(bytesToAlphabet(bytes));
    if (id === undefined) return false;
    symbols[0] = id;
    return true;
  }

  private mergeBytes(bytes: Uint8Array, symbols: Int32Array): number {
    for (let index = 0; index < bytes.length; index++) symbols[index] = this.vocabulary.byteIds[bytes[index]!]!;
    return mergeSymbols(symbols, this.vocabulary.merges);
  }

  private remember(word: string, ids: Int32Array): void {
    if (this.words.size >= MAX_CACHED_WORDS) this.words.clear();
    this.words.set(word, ids);
  }
}
