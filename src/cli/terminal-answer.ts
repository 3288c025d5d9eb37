/** One answer in the terminal: the request from the command's options, text out as it comes, and a line of figures. */

import { encodePrompt } from "../api/prompt-tokens.js";
import { buildTextRequest } from "../api/request-options.js";
import { type FinishedAnswer, generateText } from "../api/text-generation.js";
import type { Config } from "../config.js";
import type { ChatMessage } from "../text/types.js";
import { type LoadedNode, loadNode } from "./load-node.js";
import { createProgressBar, fetchReporting } from "./progress-bar.js";

export interface TerminalAnswer {
  text: string;
  /** Null where the answer was stopped. */
  finished: FinishedAnswer | null;
}

/** Loads the model, showing the progress of its fetch on standard error. */
export async function loadForTerminal(config: Config): Promise<LoadedNode> {
  const reporting = fetchReporting(config.model);
  try {
    return await loadNode({ ...config, parallel: 1 }, reporting);
  } finally {
    reporting.stop();
  }
}

/** Writes the answer to standard output as it comes. Throws CallerError where the messages do not fit. */
export async function answerInTerminal(
  node: LoadedNode,
  config: Config,
  messages: readonly ChatMessage[],
  signal: AbortSignal,
): Promise<TerminalAnswer> {
  const bar = createProgressBar("reading the prompt", "tokens");
  const answer: TerminalAnswer = { text: "", finished: null };
  try {
    for await (const event of generateText(node, terminalRequest(node, config, messages), signal)) {
      if (event.type === "progress") {
        bar.update(event.processed, event.total);
      } else if (event.type === "text") {
        bar.stop();
        answer.text += event.text;
        process.stdout.write(event.text);
      } else {
        answer.finished = event;
      }
    }
  } finally {
    bar.stop();
  }
  process.stdout.write("\n");
  return answer;
}

function terminalRequest(node: LoadedNode, config: Config, messages: readonly ChatMessage[]) {
  const prompt = node.chatTemplate.render(messages, { addGenerationPrompt: true });
  return buildTextRequest(node, {
    idPrefix: "run",
    fields: {
      temperature: config.temperature,
      top_p: config.topP,
      top_k: config.topK,
      min_p: config.minP,
      seed: config.seed,
    },
    promptTokens: encodePrompt(node, prompt, { param: "messages", addSpecial: false }),
    promptParam: "messages",
    maxTokens: config.maxTokens,
    maxTokensParam: "--max-tokens",
  });
}

/** `6,210 prompt tokens in 12.3 s (505/s); 120 tokens in 3.1 s (39/s); wave, 9.1 % of the KV cache read per step` */
export function figuresLine({ usage, timings, report }: FinishedAnswer): string {
  const parts: string[] = [];
  if (timings) {
    const numNew = usage.promptTokens - usage.cachedTokens;
    parts.push(`${usage.promptTokens} prompt tokens in ${duration(timings.prefillMs, numNew)}`);
    parts.push(`${usage.completionTokens} tokens in ${duration(timings.decodeMs, usage.completionTokens)}`);
  }
  if (report) parts.push(`${report.mode}, ${(100 * report.kvReadShare).toFixed(1)} % of the KV cache read per step`);
  return parts.join("; ");
}

function duration(ms: number, numTokens: number): string {
  const rate = ms > 0 ? ` (${Math.round((numTokens / ms) * 1000)}/s)` : "";
  return `${(ms / 1000).toFixed(1)} s${rate}`;
}
