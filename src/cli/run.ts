/** `wavekv run`: one answer in the terminal, about a prompt, a file, or both. */

import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import type { Config } from "../config.js";
import { CallerError } from "../errors.js";
import type { ChatMessage } from "../text/types.js";
import { answerInTerminal, figuresLine, loadForTerminal } from "./terminal-answer.js";

const EXIT_INTERRUPTED = 130;

export interface RunInput {
  prompt: string | null;
  /** Path of a text file, or `-` for standard input. */
  file: string | null;
}

/** Resolves to the exit code. */
export async function runOnce(config: Config, input: RunInput): Promise<number> {
  const messages = await messagesOf(config, input);
  const node = await loadForTerminal(config);
  const controller = new AbortController();
  const interrupt = () => controller.abort();
  process.once("SIGINT", interrupt);
  try {
    const { finished } = await answerInTerminal(node, config, messages, controller.signal);
    if (!finished) return EXIT_INTERRUPTED;
    process.stderr.write(`${figuresLine(finished)}\n`);
    return 0;
  } finally {
    process.off("SIGINT", interrupt);
    await node.engine.close();
  }
}

/** The document comes first: questions about one document then share all of its segments. */
async function messagesOf(config: Config, { prompt, file }: RunInput): Promise<ChatMessage[]> {
  const document = file === null ? null : await readText(file);
  const content = [document, prompt].filter((part) => part !== null).join("\n\n");
  const question: ChatMessage = { role: "user", content };
  return config.system === null ? [question] : [{ role: "system", content: config.system }, question];
}

async function readText(path: string): Promise<string> {
  const bytes = path === "-" ? await buffer(process.stdin) : await readBytes(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new CallerError("invalid_request_error", `${path} is not UTF-8 text`, "--file");
  }
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new CallerError("not_found", `cannot read ${path}: ${(error as Error).message}`, "--file");
  }
}
