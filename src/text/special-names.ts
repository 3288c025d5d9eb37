/**
 * Tokens known by their text. GGUF files name only some of their special tokens by id, and some files give a special token
 * the type of a normal one; llama.cpp goes by these texts then, and the ids must agree with its.
 */

/** Tokens that end a turn, a document or a fill-in: generation stops at them where they are control tokens. */
export const endNames: readonly string[] = [
  "<|eot_id|>",
  "<|eom_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<end_of_turn>",
  "<end_of_utterance>",
  "<|return|>",
  "<|call|>",
  "<|calls|>",
  "<|flush|>",
  "<|tool_response>",
  "<turn|>",
  "<eos>",
  "</s>",
  "<EOT>",
  "_<EOT>",
  "[EOT]",
  "[EOS]",
  "[e~[",
  "<｜end▁of▁sentence｜>",
  "<|fim_pad|>",
  "<fim-pad>",
  "<fim_pad>",
  "<PAD>",
  "[PAD]",
  "<|fim_repo|>",
  "<|repo_name|>",
  "<fim-repo>",
  "<REPO>",
  "<reponame>",
  "<|file_sep|>",
];

const fillInNames: readonly string[] = [
  "<|fim_prefix|>",
  "<fim-prefix>",
  "<fim_prefix>",
  "<｜fim▁begin｜>",
  "<PRE>",
  "▁<PRE>",
  "<|code_prefix|>",
  "<|prefix|>",
  "<|fim_suffix|>",
  "<fim-suffix>",
  "<fim_suffix>",
  "<｜fim▁hole｜>",
  "<SUF>",
  "▁<SUF>",
  "<|code_suffix|>",
  "<|suffix|>",
  "<|fim_middle|>",
  "<fim-middle>",
  "<fim_middle>",
  "<｜fim▁end｜>",
  "<MID>",
  "▁<MID>",
  "<|code_middle|>",
  "<|middle|>",
];

const controlLooking: ReadonlySet<string> = new Set([...endNames, ...fillInNames]);

/** True for a text that is parsed as a special token whatever type the file gives it. */
export function isControlLooking(text: string): boolean {
  return controlLooking.has(text);
}
