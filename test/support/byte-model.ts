import { bytesToAlphabet } from "../../src/text/byte-alphabet.js";
import { createChatTemplate } from "../../src/text/chat-template.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import type { ChatTemplate, GgufMetadata, Tokenizer } from "../../src/text/types.js";

/** Id of the token that ends a turn. */
export const END_ID = 257;
/** Tokens of several bytes, from id 258 on; some end inside a character. */
const PHRASES = ["ab", "abc", " STOP", "\n\n", "é", "end."];

const TEMPLATE =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

export interface ByteModel {
  tokenizer: Tokenizer;
  chatTemplate: ChatTemplate;
  /** The id of one of the phrases. */
  phraseId(phrase: string): number;
}

/** The real tokenizer and template over the smallest vocabulary: token 0-255 is that byte, so a test can cut text anywhere. */
export function createByteModel(): ByteModel {
  const bytes = Array.from({ length: 256 }, (_, byte) => bytesToAlphabet(Uint8Array.of(byte)));
  const phrases = PHRASES.map((phrase) => bytesToAlphabet(Buffer.from(phrase)));
  const tokens = [...bytes, "<|im_start|>", "<|im_end|>", ...phrases];
  const metadata: GgufMetadata = new Map<string, string | number | string[] | Int32Array>([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", "gpt-2"],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.token_type", Int32Array.from(tokens, (text) => (text.startsWith("<|im_") ? 3 : 1))],
    ["tokenizer.ggml.merges", []],
    ["tokenizer.ggml.eos_token_id", END_ID],
    ["tokenizer.chat_template", TEMPLATE],
  ]);
  return {
    tokenizer: createTokenizer(metadata),
    chatTemplate: createChatTemplate(metadata),
    phraseId: (phrase) => 258 + PHRASES.indexOf(phrase),
  };
}

/** One token a byte. */
export function byteIds(text: string): number[] {
  return [...Buffer.from(text)];
}
