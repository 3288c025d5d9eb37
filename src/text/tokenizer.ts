import { Detokenizer } from "./detokenizer.js";
import { Encoder } from "./encoder.js";
import type { GgufMetadata, Tokenizer } from "./types.js";
import { readVocabulary } from "./vocabulary.js";

/**
 * The byte-level BPE tokenizer that a GGUF's metadata describe. Its ids are those of llama.cpp; why no tokenizer library is
 * used is told in docs (see CONTRIBUTING). Throws an Error that names the metadata key and the value where they are not understood.
 */
export function createTokenizer(metadata: GgufMetadata): Tokenizer {
  const vocabulary = readVocabulary(metadata);
  const encoder = new Encoder(vocabulary);
  const detokenizer = new Detokenizer(vocabulary);
  return {
    vocabSize: vocabulary.tokens.length,
    bosTokenId: vocabulary.bosTokenId,
    eosTokenId: vocabulary.eosTokenId,
    endTokenIds: vocabulary.endTokenIds,
    encode: (text, options) => encoder.encode(text, options),
    decode: (ids, options) => detokenizer.decode(ids, options?.skipSpecial ?? false),
    stream: (options) => detokenizer.stream(options?.skipSpecial ?? false),
  };
}
