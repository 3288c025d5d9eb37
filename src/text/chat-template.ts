import { Template } from "@huggingface/jinja";
import { CallerError } from "../errors.js";
import { renderTemplate } from "./template-scope.js";
import type { ChatTemplate, GgufMetadata } from "./types.js";

const TEMPLATE_KEY = "tokenizer.chat_template";
const USE_INSTEAD = "use /v1/completions with a prompt that is already in the model's own format";

export interface ChatTemplateOptions {
  /** The clock behind a template's `strftime_now`. */
  readonly now?: () => Date;
}

/**
 * The chat template in a GGUF's metadata. A model whose template is absent, or is not understood, can still complete text, so
 * that is no error here: rendering then throws a CallerError that says what to use instead.
 */
export function createChatTemplate(metadata: GgufMetadata, options: ChatTemplateOptions = {}): ChatTemplate {
  const source = metadata.get(TEMPLATE_KEY);
  if (source === undefined) return refusing(`this model has no chat template (${TEMPLATE_KEY}): ${USE_INSTEAD}`);
  if (typeof source !== "string") throw new Error(`${TEMPLATE_KEY}: a string is needed, not ${typeof source}`);
  let template: Template;
  try {
    template = new Template(source);
  } catch (error) {
    return refusing(`this model's chat template is not understood (${messageOf(error)}): ${USE_INSTEAD}`);
  }
  const scope = {
    bos_token: tokenText(metadata, "tokenizer.ggml.bos_token_id"),
    eos_token: tokenText(metadata, "tokenizer.ggml.eos_token_id"),
  };
  const now = options.now ?? (() => new Date());
  return {
    usesTools: /\btools\b/.test(source),
    render: (messages, { addGenerationPrompt, tools }) =>
      render(
        template,
        { ...scope, messages, add_generation_prompt: addGenerationPrompt, ...(tools && { tools }) },
        now,
      ),
  };
}

function render(template: Template, variables: Record<string, unknown>, now: () => Date): string {
  try {
    return renderTemplate(template, variables, now());
  } catch (error) {
    throw new CallerError(
      "invalid_request_error",
      `the model's chat template refuses these messages: ${messageOf(error)}`,
      "messages",
    );
  }
}

function refusing(reason: string): ChatTemplate {
  return {
    usesTools: false,
    render: () => {
      throw new CallerError("invalid_request_error", reason, "messages");
    },
  };
}

/** The text of the token that `key` names; empty where there is none. */
function tokenText(metadata: GgufMetadata, key: string): string {
  const id = metadata.get(key);
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const text = Array.isArray(tokens) && typeof id === "number" ? tokens[id] : undefined;
  return typeof text === "string" ? text : "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
