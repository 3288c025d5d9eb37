// @ts-check
// Decode speed of several sequences at once, wavekv's server beside llama.cpp's, over HTTP:
// npm run bench:batch -- --help
import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { resolveModel } from "../dist/model/fetch.js";
import { readGgufMetadata } from "../dist/model/gguf-metadata.js";
import { defaultCacheDir } from "../dist/model/model-cache.js";
import { createTokenizer } from "../dist/text/tokenizer.js";
import { longText } from "./lib/corpus.mjs";
import { describeHardware } from "./lib/hardware.mjs";
import { HttpServer } from "./lib/http-server.mjs";
import { revision } from "./lib/revision.mjs";
import { median } from "./lib/statistics.mjs";
import { commonWindow } from "./lib/stream-window.mjs";
import { markdownTable } from "./lib/table.mjs";
import { installLlamaServer } from "./reference/llama-server.mjs";

const HELP = `npm run bench:batch -- [options]
  --model NAME          catalogue name or path (default smollm2-135m)
  --sequences N         at the same time (default 8)
  --depth N             tokens of each one's prompt (default 4096)
  --tokens N            decoded by each in a round, at most (default 128)
  --rounds N            (default 3)
  --threads N           of both servers (default: the CPUs that the process may use)
  --llama-server PATH   (default: built from source and cached, once)`;
const RESULTS = new URL("results/", import.meta.url);
/** Room for tokens that the end of a text may split otherwise. */
const MARGIN_TOKENS = 64;

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "smollm2-135m" },
    sequences: { type: "string", default: "8" },
    depth: { type: "string", default: "4096" },
    tokens: { type: "string", default: "128" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string" },
    "llama-server": { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) process.stdout.write(`${HELP}\n`);
else await main();

/** @param {string | undefined} text @param {string} option */
function count(text, option) {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new Error(`--${option} ${text}: a whole number >= 1`);
  return number;
}

async function main() {
  const hardware = describeHardware();
  const settings = {
    sequences: count(values.sequences, "sequences"),
    depth: count(values.depth, "depth"),
    tokens: count(values.tokens, "tokens"),
    rounds: count(values.rounds, "rounds"),
    threads: values.threads === undefined ? hardware.numCpus : count(values.threads, "threads"),
  };
  const modelPath = await resolveModel(values.model);
  const prompts = cutPrompts(modelPath, settings);
  const servers = await startServers(modelPath, settings);
  try {
    const results = await measure(servers, prompts, settings);
    await write(basename(modelPath, ".gguf"), { hardware, settings, results });
  } finally {
    for (const { server } of servers) await server.close();
  }
}

/** Different texts of the same length. @param {string} modelPath @param {{ sequences: number, depth: number }} sizes */
function cutPrompts(modelPath, { sequences, depth }) {
  const tokenizer = createTokenizer(readGgufMetadata(modelPath));
  const tokens = tokenizer.encode(longText(), { addSpecial: false, parseSpecial: false });
  if (tokens.length < sequences * depth)
    throw new Error(`${sequences} texts of ${depth} tokens: there are only ${tokens.length}`);
  return Array.from({ length: sequences }, (_, i) => tokenizer.decode(tokens.subarray(i * depth, (i + 1) * depth)));
}

/** @param {string} modelPath @param {{ sequences: number, depth: number, tokens: number, threads: number }} settings */
async function startServers(modelPath, { sequences, depth, tokens, threads }) {
  const llamaServer = values["llama-server"] ?? (await installLlamaServer(join(dirname(defaultCacheDir()), "bench")));
  const context = 256 * Math.ceil((depth + tokens + MARGIN_TOKENS) / 256);
  const main = fileURLToPath(new URL("../dist/main.js", import.meta.url));
  const same = ["--model", modelPath, "--parallel", String(sequences), "--threads", String(threads)];
  const ours = [main, "serve", ...same, "--ctx-size", String(context), "--log-level", "error"];
  const theirs = [...same, "--ctx-size", String(sequences * context), "--flash-attn", "on", "--no-kv-unified"];
  const wavekv = await HttpServer.start("wavekv", process.execPath, ours);
  try {
    const reference = await HttpServer.start("llama-server", llamaServer, theirs);
    return [{ server: wavekv }, { server: reference }];
  } catch (error) {
    await wavekv.close();
    throw error;
  }
}

/**
 * Each prompt alone first: it leaves the prompts in both servers' caches, and says what every timed round must give.
 *
 * @param {{ server: HttpServer }[]} servers @param {string[]} prompts @param {{ rounds: number, tokens: number }} settings
 */
async function measure(servers, prompts, { rounds, tokens }) {
  const runs = [];
  for (const { server } of servers) {
    const alone = [];
    for (const [i, prompt] of prompts.entries()) {
      process.stderr.write(`${server.name}: text ${i + 1} of ${prompts.length}, untimed ...\n`);
      alone.push((await server.complete(prompt, tokens)).text);
    }
    runs.push({ server, alone, windows: /** @type {ReturnType<typeof commonWindow>[]} */ ([]), same: 0 });
  }
  for (let round = 0; round < rounds; round++) {
    for (const run of round % 2 === 1 ? runs.toReversed() : runs) {
      process.stderr.write(`round ${round + 1} of ${rounds}, ${run.server.name} ...\n`);
      const streams = await Promise.all(prompts.map((prompt) => run.server.complete(prompt, tokens)));
      run.windows.push(commonWindow(streams.map(({ times }) => times)));
      run.same += streams.filter(({ text }, i) => text === run.alone[i]).length;
    }
  }
  return runs.map(({ server, windows, same }) => ({
    name: server.name,
    tokensPerSecond: median(windows.map((window) => window.tokensPerSecond)),
    windows,
    sameAsAlone: same / (rounds * prompts.length),
  }));
}

/**
 * @param {string} model
 * @param {{ hardware: ReturnType<typeof describeHardware>, settings: { sequences: number, depth: number, tokens: number,
 *   rounds: number, threads: number }, results: Awaited<ReturnType<typeof measure>> }} run
 */
async function write(model, { hardware, settings, results }) {
  const [ours, theirs] = results;
  if (!ours || !theirs) throw new Error("two servers are compared");
  const ratio = ours.tokensPerSecond / theirs.tokensPerSecond;
  const aim = model.startsWith("qwen") ? 3 : 5;
  const table = markdownTable(
    ["server", "tokens/s, all", "same text as alone"],
    results.map((one) => [one.name, one.tokensPerSecond.toFixed(1), `${(100 * one.sameAsAlone).toFixed(0)} %`]),
  );
  const date = new Date().toISOString().slice(0, 10);
  const report = `# ${settings.sequences} sequences at ${settings.depth.toLocaleString("en")} tokens each: ${model}

${table}

Ratio ${ratio.toFixed(2)} x; the aim for 8 sequences at 4,096 is >= ${aim} x${settings.sequences === 8 && settings.depth === 4096 ? `: ${ratio >= aim ? "met" : "not met"}` : ""}.

- Greedy, up to ${settings.tokens} tokens each, streamed over HTTP, with different texts; ${settings.rounds} rounds in turn, medians. Counted from when the last
  stream has its first token to when the first one ends: prefill is not in it. A chunk of the stream is a token.
- ${hardware.cpu}, ${hardware.numCpus} CPUs, ${hardware.memoryGiB} GiB, SIMD level ${hardware.simdLevel}; ${settings.threads} threads each. ${date}, revision ${revision()}.
`;
  await mkdir(RESULTS, { recursive: true });
  const path = fileURLToPath(new URL(`batch-${model}`, RESULTS));
  const record = { date, revision: revision(), model, hardware, settings, ratio, results };
  await writeFile(`${path}.json`, `${JSON.stringify(record, null, 1)}\n`);
  await writeFile(`${path}.md`, report);
  process.stdout.write(`${report}\nbench/results/batch-${model}.md and .json\n`);
  if (ours.sameAsAlone < 1) throw new Error("wavekv's text in the batch differs from the text alone");
}
