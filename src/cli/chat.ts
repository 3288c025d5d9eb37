/** `wavekv chat`: a conversation in the terminal. */

import { createInterface, type Interface } from "node:readline";
import type { Config } from "../config.js";
import { CallerError } from "../errors.js";
import type { ChatMessage } from "../text/types.js";
import type { LoadedNode } from "./load-node.js";
import { answerInTerminal, loadForTerminal } from "./terminal-answer.js";

const PROMPT = "> ";
const HELP = "/clear forgets the conversation, /exit leaves, Ctrl-C stops an answer";

/** Resolves to the exit code when the user leaves or the input ends. */
export async function runChat(config: Config): Promise<number> {
  const node = await loadForTerminal(config);
  const terminal = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: process.stdin.isTTY === true && process.stderr.isTTY === true,
    prompt: PROMPT,
  });
  process.stderr.write(`${node.model.id}, ${node.engine.info.contextTokens} tokens of context. ${HELP}.\n`);
  try {
    await new Conversation(node, config, terminal).run();
    return 0;
  } finally {
    terminal.close();
    await node.engine.close();
  }
}

class Conversation {
  #messages: ChatMessage[] = [];
  #answering: AbortController | null = null;

  constructor(
    readonly node: LoadedNode,
    readonly config: Config,
    readonly terminal: Interface,
  ) {
    this.clear();
    // readline reports Ctrl-C itself on a terminal; elsewhere the signal comes from outside.
    const interrupt = () => this.interrupt();
    terminal.on("SIGINT", interrupt);
    process.on("SIGINT", interrupt);
    terminal.once("close", () => process.off("SIGINT", interrupt));
  }

  async run(): Promise<void> {
    this.terminal.prompt();
    for await (const line of this.terminal) {
      const text = line.trim();
      if (text === "/exit") return;
      if (text === "/clear") this.clear();
      else if (text.startsWith("/")) process.stderr.write(`${HELP}\n`);
      else if (text !== "") await this.ask(text);
      this.terminal.prompt();
    }
  }

  clear(): void {
    this.#messages = this.config.system === null ? [] : [{ role: "system", content: this.config.system }];
  }

  /** Stops the answer; at the prompt, says how to leave. */
  interrupt(): void {
    if (this.#answering) this.#answering.abort();
    else process.stderr.write(`\n${HELP}\n${PROMPT}`);
  }

  async ask(content: string): Promise<void> {
    const messages = [...this.#messages, { role: "user", content }];
    this.#answering = new AbortController();
    try {
      const { text } = await answerInTerminal(this.node, this.config, messages, this.#answering.signal);
      // A stopped answer stays in the conversation as far as it got.
      this.#messages = [...messages, { role: "assistant", content: text }];
    } catch (error) {
      if (!(error instanceof CallerError)) throw error;
      process.stderr.write(`${error.message}\n`);
    } finally {
      this.#answering = null;
    }
  }
}
