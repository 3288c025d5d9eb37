import { beforeAll, describe, expect, it } from "vitest";
import { CallerError } from "../../src/errors.js";
import { createChatTemplate } from "../../src/text/chat-template.js";
import type { GgufMetadata } from "../../src/text/types.js";
import { readGgufMetadata } from "../support/gguf-metadata.js";
import { hasModel } from "../support/has-model.js";
import { modelPath } from "../support/models.js";

const MODEL = "smollm2-135m";
const KEY = "tokenizer.chat_template";
const USER = { role: "user", content: "Hi" };

describe.skipIf(!hasModel(MODEL, "chat templates"))("chat template", () => {
  let metadata: GgufMetadata;
  beforeAll(async () => {
    metadata = await readGgufMetadata(modelPath(MODEL));
  });
  const template = (source: string, now?: Date) =>
    createChatTemplate(new Map([...metadata, [KEY, source]]), now ? { now: () => now } : {});
  const refusal = (message: unknown) =>
    expect.objectContaining({ name: "CallerError", param: "messages", status: 400, message });

  it("renders the model's own, with its default system message", () => {
    expect(createChatTemplate(metadata).render([USER], { addGenerationPrompt: true })).toBe(
      "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n" +
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  it("renders the caller's system message in its place, and no prompt where none is wanted", () => {
    const messages = [{ role: "system", content: "Be brief." }, USER, { role: "assistant", content: "Hello" }];
    expect(createChatTemplate(metadata).render(messages, { addGenerationPrompt: false })).toBe(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n",
    );
  });

  it("leaves what looks like a template in a message alone", () => {
    const content = "{{ 1 + 1 }}{% for x in y %}";
    expect(createChatTemplate(metadata).render([{ role: "user", content }], { addGenerationPrompt: false })).toContain(
      content,
    );
  });

  it("knows the texts of BOS and EOS", () => {
    const render = template("{{ bos_token }}|{{ eos_token }}").render([USER], { addGenerationPrompt: false });
    expect(render).toBe("<|im_start|>|<|im_end|>");
  });

  it("knows the names that templates count on", () => {
    const source =
      "{% for i in range(1, 6, 2) %}{{ i }}{% endfor %}{{ range(2)|length }}{{ True and not false and none is none }}";
    expect(template(source).render([USER], { addGenerationPrompt: false })).toBe("1352true");
  });

  it("knows the date, in English", () => {
    const source = "{{ strftime_now('%d %b %Y|%A %a %B %e|%H:%M:%S %I %p|%j %m %y %%|%Q') }}";
    const render = template(source, new Date(2024, 2, 7, 15, 4, 9)).render([USER], { addGenerationPrompt: false });
    expect(render).toBe("07 Mar 2024|Thursday Thu March  7|15:04:09 03 PM|067 03 24 %|%Q");
  });

  it("refuses messages that the template refuses, in the template's words", () => {
    const picky = template(
      "{% if messages[0].role != 'system' %}{{ raise_exception('system comes first') }}{% endif %}",
    );
    expect(() => picky.render([USER], { addGenerationPrompt: true })).toThrow(CallerError);
    expect(() => picky.render([USER], { addGenerationPrompt: true })).toThrow(
      refusal("the model's chat template refuses these messages: system comes first"),
    );
  });

  it("refuses messages on which the template breaks", () => {
    const broken = template("{{ messages[5].content.trim() }}");
    expect(() => broken.render([USER], { addGenerationPrompt: true })).toThrow(
      refusal(expect.stringContaining("refuses these messages")),
    );
  });

  it("says what to use where there is no template, or none that is understood", () => {
    const none = createChatTemplate(new Map([...metadata].filter(([key]) => key !== KEY)));
    const message = expect.stringContaining("use /v1/completions");
    expect(() => none.render([USER], { addGenerationPrompt: true })).toThrow(refusal(message));
    expect(() => template("{% if %}").render([USER], { addGenerationPrompt: true })).toThrow(refusal(message));
  });

  it("refuses metadata of the wrong type", () => {
    expect(() => createChatTemplate(new Map([...metadata, [KEY, 3]]))).toThrow(`${KEY}: a string is needed`);
  });
});
