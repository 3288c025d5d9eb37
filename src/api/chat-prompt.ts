/** From a conversation to the prompt that the model reads. */

import type { ChatMessage } from "../text/types.js";
import type { ReadyNode } from "./node-state.js";
import { encodePrompt } from "./prompt-tokens.js";

/** A final message of the assistant is the beginning of the answer, which the model goes on with. */
export function chatPromptText(
  { chatTemplate }: Pick<ReadyNode, "chatTemplate">,
  messages: readonly ChatMessage[],
  tools?: readonly object[],
): string {
  const last = messages.at(-1);
  const continues = last?.role === "assistant" && !last.tool_calls && messages.length > 1;
  const options = { addGenerationPrompt: true, ...(tools && { tools }) };
  return chatTemplate.render(continues ? messages.slice(0, -1) : messages, options) + (continues ? last.content : "");
}

/** The template writes the model's own BOS and turn marks, as text. */
export function chatPromptTokens(node: ReadyNode, prompt: string): Int32Array {
  return encodePrompt(node, prompt, { param: "messages", addSpecial: false });
}
