// @ts-check
// Prefill and decode speed of wavekv (wave and full attention) beside llama.cpp, on the same file, threads and tokens, in
// one run: npm run bench:decode -- --help
import { mkdir, stat, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { resolveModel } from "../dist/model/fetch.js";
import { readGgufMetadata } from "../dist/model/gguf-metadata.js";
import { hashFile } from "../dist/model/model-cache.js";
import { createTokenizer } from "../dist/text/tokenizer.js";
import { longText } from "./lib/corpus.mjs";
import { decodeReport, decodeTable, stageResult } from "./lib/decode-report.mjs";
import { noTimes, runReference, runWavekv } from "./lib/decode-stage.mjs";
import { startReference, startWavekv } from "./lib/engines.mjs";
import { withCompletions } from "./lib/greedy.mjs";
import { describeHardware } from "./lib/hardware.mjs";

/** @typedef {import("./lib/decode-stage.mjs").Stage} Stage */

const HELP = `npm run bench:decode -- [options]
  --model NAME    catalogue name or path (default smollm2-135m)
  --depths LIST   tokens in the KV cache (default 0,2048,8192)
  --rounds N      (default 3)
  --tokens N      tokens decoded per round with each kind of attention (default 32)
  --threads N     of both engines (default: the CPUs that the process may use)`;

/** Prompt whose prefill stands in the row of depth 0. */
const SHORT_PROMPT_TOKENS = 512;
const RESULTS = new URL("results/", import.meta.url);

const settings = readSettings();
const modelPath = await resolveModel(settings.model);
const hardware = describeHardware();
const numThreads = settings.threads ?? hardware.numCpus;
const wavekv = startWavekv();
const reference = await startReference();
const contextTokens = Math.max(...settings.depths, SHORT_PROMPT_TOKENS) + 2 * settings.tokens;
const load = { modelPath, numThreads, contextTokens };
const engines = { wavekv: await wavekv.load(load), reference: await reference.load(load) };
const stages = await planStages(engines.wavekv.usableContext);
const results = await measure(stages);
await Promise.all([wavekv.close(), reference.close()]);
await writeResults();

function readSettings() {
  const { values } = parseArgs({
    options: {
      model: { type: "string", default: "smollm2-135m" },
      depths: { type: "string", default: "0,2048,8192" },
      rounds: { type: "string", default: "3" },
      tokens: { type: "string", default: "32" },
      threads: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    process.exit(0);
  }
  /** @param {string} text @param {string} option @param {number} least */
  const count = (text, option, least) => {
    const number = Number(text);
    if (!Number.isInteger(number) || number < least) throw new Error(`--${option} ${text}: a whole number >= ${least}`);
    return number;
  };
  return {
    model: values.model,
    depths: values.depths.split(",").map((depth) => count(depth, "depths", 0)),
    rounds: count(values.rounds, "rounds", 1),
    tokens: count(values.tokens, "tokens", 1),
    threads: values.threads === undefined ? null : count(values.threads, "threads", 1),
  };
}

/** @param {number} usableContext @returns {Promise<Stage[]>} */
async function planStages(usableContext) {
  const tokenizer = createTokenizer(readGgufMetadata(modelPath));
  const text = [...tokenizer.encode(longText(), { addSpecial: true, parseSpecial: false })];
  const decoded = 2 * settings.tokens;
  const plans = settings.depths.map((depth) => {
    const length = Math.min(depth, usableContext - decoded);
    if (length > text.length) throw new Error(`depth ${depth}: the text has only ${text.length} tokens`);
    const prefill = text.slice(0, length || SHORT_PROMPT_TOKENS);
    return { depth, prefill, prompt: length === 0 ? text.slice(0, 1) : prefill };
  });
  process.stderr.write("greedy completions, untimed ...\n");
  const model = { ...load, contextTokens: Math.min(contextTokens, usableContext) };
  return withCompletions(model, plans, decoded);
}

/** @param {Stage[]} stages */
async function measure(stages) {
  const runs = stages.map((stage) => ({
    stage,
    wavekv: noTimes(),
    reference: noTimes(),
    agreeing: /** @type {number[]} */ ([]),
  }));
  for (let round = 0; round < settings.rounds; round++) {
    for (const run of runs) {
      process.stderr.write(`round ${round + 1} of ${settings.rounds}, depth ${run.stage.depth} ...\n`);
      const turns = [
        () => runWavekv(wavekv, run.stage, run.wavekv),
        async () => void run.agreeing.push(await runReference(reference, run.stage, run.reference)),
      ];
      if (round % 2 === 1) turns.reverse();
      for (const turn of turns) await turn();
    }
  }
  return runs.map((run) => stageResult(run));
}

async function writeResults() {
  const name = basename(modelPath, ".gguf");
  const { size } = await stat(modelPath);
  const run = {
    date: new Date().toISOString().slice(0, 10),
    hardware,
    model: { name, sizeBytes: size, sha256: await hashFile(modelPath) },
    settings: { numThreads, rounds: settings.rounds, decodeTokens: settings.tokens, depths: settings.depths },
    engines,
    stages: results,
  };
  await mkdir(RESULTS, { recursive: true });
  const path = fileURLToPath(new URL(`decode-${name}`, RESULTS));
  await writeFile(`${path}.json`, `${JSON.stringify(run, roundNumbers, 1)}\n`);
  await writeFile(`${path}.md`, decodeReport(run));
  process.stdout.write(`${decodeTable(results)}\n\nbench/results/decode-${name}.md and .json\n`);
}

/** Microseconds and a thousandth of a token/s are enough. @param {string} _key @param {unknown} value */
function roundNumbers(_key, value) {
  return typeof value === "number" ? Math.round(value * 1000) / 1000 : value;
}
