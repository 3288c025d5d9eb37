// @ts-check
// Answers questions about a code base, in turns: the sources that fit a budget of tokens become the system message, and
// each line of standard input is a question. `--help` prints the usage.
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, streamText } from "ai";
import { selectSources } from "./source-files.mjs";

const USAGE = `usage: node examples/chat-codebase/chat-codebase.mjs FOLDER [options] [< QUESTIONS]

  --base-url URL      default: OPENAI_BASE_URL, or http://127.0.0.1:8080/v1
  --budget TOKENS     room for source files in the prompt; default: half of the model's context
  --max-tokens COUNT  longest answer; default: 300

A server that wants a key gets OPENAI_API_KEY.`;

/** @typedef {{ attention: string, kv_read_share: number }} Report */
/** @typedef {{ role: "user" | "assistant", content: string }} Message */

const { values, positionals } = readArguments();
const baseURL = values["base-url"] ?? process.env.OPENAI_BASE_URL ?? "http://127.0.0.1:8080/v1";
const apiKey = process.env.OPENAI_API_KEY ?? "none";
const provider = createOpenAICompatible({
  name: "wavekv",
  baseURL,
  apiKey,
  includeUsage: true,
  metadataExtractor: { extractMetadata: async ({ parsedBody }) => reportOf(parsedBody), createStreamExtractor },
});

try {
  await chat(/** @type {string} */ (positionals[0]));
} catch (error) {
  process.stderr.write(`${/** @type {Error} */ (error).message}\n`);
  process.exitCode = 1;
}

/** @param {string} folder */
async function chat(folder) {
  const [model] = (await callServer("/v1/models")).data;
  const budget = Number(values.budget ?? Math.floor(model.max_model_len / 2));
  const sources = await selectSources(folder, budget, countTokens);
  if (sources.taken.length === 0) throw new Error(`${folder} has no source file that fits ${budget} tokens`);
  const numFiles = sources.taken.length;
  process.stderr.write(`${numFiles} files, ${sources.numTokens} of ${budget} tokens: ${sources.taken.join(", ")}\n`);
  if (sources.leftOut.length > 0) process.stderr.write(`no room for: ${sources.leftOut.join(", ")}\n`);

  const system = `${sources.text}These are files of a code base. Answer questions about them.`;
  /** @type {Message[]} */
  const messages = [];
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: process.stdin.isTTY ?? false,
  });
  const prompt = () => process.stdin.isTTY && process.stderr.write("> ");
  prompt();
  for await (const line of lines) {
    if (line.trim() !== "") {
      messages.push({ role: "user", content: line });
      messages.push({ role: "assistant", content: await answer(model.id, system, messages) });
    }
    prompt();
  }
}

/** Streams one answer to standard output. @param {string} model @param {string} system @param {Message[]} messages */
async function answer(model, system, messages) {
  const result = streamText({
    model: provider(model),
    system,
    messages,
    temperature: 0,
    maxOutputTokens: Number(values["max-tokens"]),
    providerOptions: { wavekv: { wavekv: { report: true } } },
    onError: () => {}, // it comes as a part of the stream, too
  });
  let text = "";
  for await (const part of result.fullStream) {
    if (part.type === "error") throw explained(part.error);
    if (part.type === "text-delta") {
      text += part.text;
      process.stdout.write(part.text);
    }
  }
  process.stdout.write("\n\n");
  const report = /** @type {Report | undefined} */ ((await result.providerMetadata)?.wavekv);
  const { inputTokens, inputTokenDetails, outputTokens } = await result.usage;
  const numKnown = inputTokenDetails.cacheReadTokens ?? 0;
  const read = report
    ? `; ${report.attention}, ${(100 * report.kv_read_share).toFixed(1)} % of the KV cache read at each step`
    : "";
  process.stderr.write(
    `(${inputTokens} prompt tokens, ${numKnown} known already, ${outputTokens} completion tokens${read})\n\n`,
  );
  return text;
}

/** The library drops fields that it does not know, unless a provider says where they go. */
function createStreamExtractor() {
  /** @type {ReturnType<typeof reportOf>} */
  let found;
  return {
    /** @param {unknown} chunk */
    processChunk(chunk) {
      found = reportOf(chunk) ?? found;
    },
    buildMetadata: () => found,
  };
}

/** @param {unknown} body an answer, or a chunk of one */
function reportOf(body) {
  const wavekv = /** @type {{ wavekv?: Report } | null} */ (body)?.wavekv;
  return wavekv && { wavekv };
}

/** @param {string} text */
async function countTokens(text) {
  return (await callServer("/tokenize", { content: text })).tokens.length;
}

/** @param {string} path from the server's root @param {object} [body] @returns {Promise<any>} */
async function callServer(path, body) {
  const url = `${baseURL.replace(/\/v1\/?$/, "")}${path}`;
  const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
  const init = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  const response = await fetch(url, init).catch(() => {
    throw new Error(`cannot reach ${url}; \`npm start\` starts a server`);
  });
  const answered = /** @type {any} */ (await response.json());
  if (!response.ok) throw new Error(`the server refused: ${answered.error?.message ?? response.status}`);
  return answered;
}

/** @param {unknown} error */
function explained(error) {
  // After its own attempts the library wraps the last error.
  const last = /** @type {{ lastError?: unknown }} */ (error).lastError ?? error;
  return APICallError.isInstance(last) ? new Error(`the server refused: ${last.message}`) : last;
}

function readArguments() {
  try {
    const parsed = parseArgs({
      allowPositionals: true,
      options: {
        "base-url": { type: "string" },
        budget: { type: "string" },
        "max-tokens": { type: "string", default: "300" },
        help: { type: "boolean" },
      },
    });
    if (parsed.values.help) exitWithUsage(0);
    if (parsed.positionals.length !== 1) exitWithUsage(2, "one folder is needed");
    return parsed;
  } catch (error) {
    return exitWithUsage(2, /** @type {Error} */ (error).message);
  }
}

/** @param {number} code @param {string} [problem] @returns {never} */
function exitWithUsage(code, problem) {
  if (problem) process.stderr.write(`${problem}\n\n${USAGE}\n`);
  else process.stdout.write(`${USAGE}\n`);
  process.exit(code);
}
