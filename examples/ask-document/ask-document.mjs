// @ts-check
// Asks one question about a long document, as a search engine would: the answer streams, and a report tells how much
// of the KV cache each of its tokens took. `--help` prints the usage.
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import OpenAI, { APIConnectionError, APIError } from "openai";

const USAGE = `usage: node examples/ask-document/ask-document.mjs FILE QUESTION [options]

  --base-url URL            default: OPENAI_BASE_URL, or http://127.0.0.1:8080/v1
  --attention wave|full     default: the server's
  --retrieval-budget SHARE  share of the clusters attended exactly, 0 to 1; default: the server's
  --max-tokens COUNT        longest answer; default: 300

A server that wants a key gets OPENAI_API_KEY.`;

/** A prompt of 100K tokens takes minutes to read on a CPU; the server keeps the connection alive meanwhile. */
const TIMEOUT_MS = 60 * 60_000;

/**
 * The server's extension of the last chunk; docs/api.md lists it.
 *
 * @typedef {object} Report
 * @property {"wave" | "full"} attention
 * @property {number} kv_read_share
 * @property {{ prefill_ms: number, index_build_ms: number, decode_ms: number }} timings
 * @property {{ steady: number, retrieval: number, estimation: number }} tokens
 * @property {{ steady: number, retrieval: number, estimation: number, unattended: number }} mass
 * @property {number} index_bytes
 * @property {number} segments
 */

const { values, positionals } = readArguments();
const baseURL = values["base-url"] ?? process.env.OPENAI_BASE_URL ?? "http://127.0.0.1:8080/v1";
const client = new OpenAI({ baseURL, apiKey: process.env.OPENAI_API_KEY ?? "none", timeout: TIMEOUT_MS });

try {
  await ask(/** @type {string} */ (positionals[0]), /** @type {string} */ (positionals[1]));
} catch (error) {
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = 1;
}

/** @param {string} file @param {string} question */
async function ask(file, question) {
  const document = await readFile(file, "utf8");
  const [model] = (await client.models.list()).data;
  if (!model) throw new Error(`${baseURL} serves no model`);
  process.stderr.write(`${model.id} reads ${file} (${document.length.toLocaleString("en")} characters) ...\n`);

  /** @type {OpenAI.ChatCompletionCreateParamsStreaming & { wavekv: object }} */
  const body = {
    model: model.id,
    // The document comes first: a second question about it begins alike, so its segments are known already.
    messages: [{ role: "user", content: `${document}\n\nAnswer from the text above. ${question}` }],
    temperature: 0,
    max_tokens: Number(values["max-tokens"]),
    stream: true,
    stream_options: { include_usage: true },
    wavekv: { report: true, attention: values.attention, retrieval_budget: numberOf(values["retrieval-budget"]) },
  };
  /** @type {OpenAI.CompletionUsage | undefined} */
  let usage;
  /** @type {Report | undefined} */
  let report;
  for await (const chunk of await client.chat.completions.create(body)) {
    process.stdout.write(chunk.choices[0]?.delta.content ?? "");
    usage = chunk.usage ?? usage;
    report = /** @type {{ wavekv?: Report }} */ (chunk).wavekv ?? report;
  }
  process.stdout.write("\n");
  if (usage && report) process.stdout.write(`\n${reportText(usage, report)}\n`);
}

/** @param {OpenAI.CompletionUsage} usage @param {Report} report */
function reportText(usage, { attention, tokens, mass, timings, ...report }) {
  /** @param {"steady" | "retrieval" | "estimation"} zone */
  const zoneRow = (zone) => [`  ${zone}`, count(tokens[zone]).padStart(9), percent(mass[zone]).padStart(15)];
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  const known = cached > 0 ? `, ${count(cached)} of them known already` : "";
  const index = report.segments > 0 ? `, ${report.segments} segments, index ${megabytes(report.index_bytes)}` : "";
  const rows = [
    ["prompt", `${count(usage.prompt_tokens)} tokens read in ${seconds(timings.prefill_ms)}${known}`],
    ["answer", `${count(usage.completion_tokens)} tokens in ${seconds(timings.decode_ms)}`],
    ["attention", `${attention}${index}`],
    ["KV cache read", `${percent(report.kv_read_share)} at each step`],
    ["zone", "   tokens", " attention mass"],
    zoneRow("steady"),
    zoneRow("retrieval"),
    zoneRow("estimation"),
    ["  unattended", "".padStart(9), percent(mass.unattended).padStart(15)],
  ];
  return rows.map(([label, ...cells]) => `${label?.padEnd(14)} ${cells.join(" ")}`.trimEnd()).join("\n");
}

/** @param {number} value */
function count(value) {
  return Math.round(value).toLocaleString("en");
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** @param {number} ms */
function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** @param {number} bytes */
function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {string | undefined} text */
function numberOf(text) {
  return text === undefined ? undefined : Number(text);
}

function readArguments() {
  try {
    const parsed = parseArgs({
      allowPositionals: true,
      options: {
        "base-url": { type: "string" },
        attention: { type: "string" },
        "retrieval-budget": { type: "string" },
        "max-tokens": { type: "string", default: "300" },
        help: { type: "boolean" },
      },
    });
    if (parsed.values.help) exitWithUsage(0);
    if (parsed.positionals.length !== 2) exitWithUsage(2, "a file and a question are needed");
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

/** @param {unknown} error */
function explain(error) {
  if (error instanceof APIConnectionError) return `cannot reach ${baseURL}; \`npm start\` starts a server`;
  if (error instanceof APIError) return `the server refused: ${error.message}`;
  return /** @type {Error} */ (error).message;
}
