// @ts-check
// Prefill and decode speed of wavekv (wave and full attention) beside llama.cpp, on the same file, threads and tokens, in
// one run: npm run bench:decode -- --help
import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { resolveModel } from "../dist/model/fetch.js";
import { readGgufMetadata } from "../dist/model/gguf-metadata.js";
import { defaultCacheDir, hashFile } from "../dist/model/model-cache.js";
import { createTokenizer } from "../dist/text/tokenizer.js";
import { aimTable } from "./lib/aims.mjs";
import { longText } from "./lib/corpus.mjs";
import { decodeReport, decodeTable, stageResult } from "./lib/decode-report.mjs";
import { runStage } from "./lib/decode-stage.mjs";
import { REFERENCE_VERSION, startReference, startWavekv } from "./lib/engines.mjs";
import { withCompletions } from "./lib/greedy.mjs";
import { describeHardware } from "./lib/hardware.mjs";
import { qualityTable } from "./lib/quality.mjs";
import { revision } from "./lib/revision.mjs";

/** @typedef {import("./lib/decode-stage.mjs").Stage} Stage */

const HELP = `npm run bench:decode -- [options]
  --model NAME         catalogue name or path (default smollm2-135m)
  --depths LIST        tokens in the KV cache (default 0,2048,8192,32768)
  --rounds N           of decode (default 3)
  --prefill-rounds N   at depths up to 8K; one above (default 2)
  --tokens N           tokens decoded per round with each kind of attention (default 32)
  --rope-scale N       linear, of both engines at depths over the model's context (default 4)
  --threads N          of both engines (default: the CPUs that the process may use)
  --fresh              prefill llama.cpp anew at depths over 8K, even if its KV cache was kept by an earlier run`;

/** Prompt whose prefill stands in the row of depth 0. */
const SHORT_PROMPT_TOKENS = 512;
/** Deeper prompts are prefilled once, and llama.cpp's KV cache of them is kept: it takes minutes. */
const DEEP_TOKENS = 8192;
const RESULTS = new URL("results/", import.meta.url);
const STATES = join(dirname(defaultCacheDir()), "bench");

const settings = readSettings();
const modelPath = await resolveModel(settings.model);
const modelHash = await hashFile(modelPath);
const metadata = readGgufMetadata(modelPath);
const hardware = describeHardware();
const numThreads = settings.threads ?? hardware.numCpus;
const decoded = settings.rounds * settings.tokens;
const trainedContext = Number(metadata.get(`${metadata.get("general.architecture")}.context_length`));
/** @type {import("./lib/decode-report.mjs").StageResult[]} */
const results = [];
/** @type {{ wavekv: Record<string, any>, reference: Record<string, any> } | undefined} */
let engines;
// Depths within the model's context first, then those that need stretched positions: the engines are loaded for each.
for (const ropeScale of [1, settings.ropeScale]) {
  const depths = settings.depths.filter((depth) => depth <= trainedContext === (ropeScale === 1));
  if (depths.length > 0) results.push(...(await measure(depths, ropeScale)));
}
await writeResults();

function readSettings() {
  const { values } = parseArgs({
    options: {
      model: { type: "string", default: "smollm2-135m" },
      depths: { type: "string", default: "0,2048,8192,32768" },
      rounds: { type: "string", default: "3" },
      "prefill-rounds": { type: "string", default: "2" },
      "rope-scale": { type: "string", default: "4" },
      fresh: { type: "boolean", default: false },
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
    prefillRounds: count(values["prefill-rounds"], "prefill-rounds", 1),
    ropeScale: count(values["rope-scale"], "rope-scale", 2),
    fresh: values.fresh,
    tokens: count(values.tokens, "tokens", 1),
    threads: values.threads === undefined ? null : count(values.threads, "threads", 1),
  };
}

/** @param {readonly number[]} depths @param {number} ropeScale */
async function measure(depths, ropeScale) {
  const contextTokens = Math.min(Math.max(...depths, SHORT_PROMPT_TOKENS) + decoded, ropeScale * trainedContext);
  const load = { modelPath, numThreads, contextTokens, ropeScale };
  const stages = await planStages(depths, load);
  const wavekv = startWavekv();
  const reference = await startReference();
  engines = { wavekv: await wavekv.load(load), reference: await reference.load(load) };
  const measured = [];
  for (const stage of stages) {
    const prefillRounds = stage.depth > DEEP_TOKENS ? 1 : settings.prefillRounds;
    const run = await runStage(wavekv, reference, stage, { ...settings, prefillRounds }, say);
    measured.push(stageResult(stage, run));
  }
  await Promise.all([wavekv.close(), reference.close()]);
  return measured;
}

/** @param {readonly number[]} depths @param {import("./lib/worker-process.mjs").LoadOptions & { ropeScale: number }} load @returns {Promise<Stage[]>} */
async function planStages(depths, load) {
  const tokenizer = createTokenizer(metadata);
  const text = [...tokenizer.encode(longText(), { addSpecial: true, parseSpecial: false })];
  await mkdir(STATES, { recursive: true });
  const plans = depths.map((depth) => {
    const length = Math.min(depth, load.contextTokens - decoded);
    if (length > text.length) throw new Error(`depth ${depth}: the text has only ${text.length} tokens`);
    const prefill = text.slice(0, length || SHORT_PROMPT_TOKENS);
    const statePath = depth > DEEP_TOKENS ? keptState(prefill, load) : undefined;
    return { depth, ropeScale: load.ropeScale, prefill, prompt: length === 0 ? text.slice(0, 1) : prefill, statePath };
  });
  say("greedy completions, untimed ...");
  return withCompletions(load, plans, decoded);
}

/** The file of llama.cpp's KV cache of a prompt, named by all that it depends on. @param {number[]} tokens @param {{ ropeScale: number }} load */
function keptState(tokens, { ropeScale }) {
  const name = createHash("sha256")
    .update(JSON.stringify([modelHash, numThreads, ropeScale, hardware.cpu, REFERENCE_VERSION, tokens]))
    .digest("hex");
  const path = join(STATES, `${name.slice(0, 24)}.kv`);
  if (settings.fresh) for (const file of [path, `${path}.json`]) rmSync(file, { force: true });
  return path;
}

/** @param {string} text */
function say(text) {
  process.stderr.write(`${text}\n`);
}

async function writeResults() {
  const name = basename(modelPath, ".gguf");
  const { size } = await stat(modelPath);
  if (!engines) throw new Error("no depth was measured");
  const run = {
    date: new Date().toISOString().slice(0, 10),
    hardware,
    revision: revision(),
    model: { name, sizeBytes: size, sha256: modelHash },
    settings: { ...settings, numThreads, decodeTokens: settings.tokens },
    engines,
    stages: results,
  };
  await mkdir(RESULTS, { recursive: true });
  const path = fileURLToPath(new URL(`decode-${name}`, RESULTS));
  await writeFile(`${path}.json`, `${JSON.stringify(run, roundNumbers, 1)}\n`);
  const quality = await qualityTable(RESULTS, name, run);
  await writeFile(`${path}.md`, decodeReport(run, quality));
  process.stdout.write(
    `${decodeTable(results)}\n\n${aimTable(name, results)}\n\n${quality}\n\nbench/results/decode-${name}.md and .json\n`,
  );
}

/** Microseconds and a thousandth of a token/s are enough. @param {string} _key @param {unknown} value */
function roundNumbers(_key, value) {
  return typeof value === "number" ? Math.round(value * 1000) / 1000 : value;
}
