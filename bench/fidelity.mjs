// @ts-check
// How close wave attention comes to full attention on real long prompts, and what it reads: npm run bench:fidelity -- --help
import { mkdir, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { DEFAULTS } from "../dist/engine/options.js";
import { resolveModel } from "../dist/model/fetch.js";
import { readGgufMetadata } from "../dist/model/gguf-metadata.js";
import { createTokenizer } from "../dist/text/tokenizer.js";
import { budgetTable, variantTable } from "./fidelity/report.mjs";
import { BUDGETS, PROMPTS, VARIANTS } from "./fidelity/settings.mjs";
import { POSITIONS, Subject } from "./fidelity/subject.mjs";
import { describeHardware } from "./lib/hardware.mjs";
import { revision } from "./lib/revision.mjs";

const HELP = `npm run bench:fidelity -- [options]
  --model NAME     ${Object.keys(PROMPTS).join(" or ")} (default: both, one after the other)
  --text NAME      only the prompt of this text; nothing is written then
  --no-variants    only the budgets, the other settings at their defaults
  --settings JSON  wave settings in place of the defaults, such as '{"queryMetric":0.5}'; nothing is written then`;
const PROGRESS_TOKENS = 1024;
const RESULTS = new URL("results/", import.meta.url);

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    "no-variants": { type: "boolean", default: false },
    settings: { type: "string" },
    text: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(`${HELP}\n`);
} else {
  for (const name of values.model ? [values.model] : Object.keys(PROMPTS)) await measureModel(name);
}

/** @param {string} name */
async function measureModel(name) {
  const prompts = PROMPTS[name]?.filter(({ text }) => !values.text || text === values.text);
  if (!prompts || prompts.length === 0)
    throw new Error(
      `there is no such prompt for "${name}"; there are prompts for ${Object.keys(PROMPTS).join(" and ")}`,
    );
  const path = await resolveModel(name);
  const tokenizer = createTokenizer(readGgufMetadata(path));
  const settings = values.settings ? JSON.parse(values.settings) : {};
  const variants = (values["no-variants"] || values.settings ? [] : VARIANTS).map((variant) => ({
    ...variant,
    results: /** @type {import("./fidelity/report.mjs").Result[]} */ ([]),
  }));
  const budgets = [];
  const measured = [];
  for (const prompt of prompts) {
    const subject = new Subject(path, tokenizer, prompt, (done) => {
      if (done % PROGRESS_TOKENS === 0) say(`${name}, ${prompt.text}: prefill ${done} of ${prompt.promptTokens}`);
    });
    measured.push({ ...prompt, hash: subject.hash, full: subject.fullNeedles });
    const byBudget = subject.measure({ ...settings, minClusters: 1 }, BUDGETS, true);
    const atDefaults = subject.measure(settings, [settings.retrievalBudget ?? DEFAULTS.retrievalBudget], true);
    for (const result of [...byBudget, ...atDefaults.map((one) => ({ ...one, withFloor: true }))]) {
      budgets.push(result);
      say(`${name}, ${prompt.text}: budget ${result.budget}, KL ${result.kl.toPrecision(3)}, needles ${found(result)}`);
    }
    for (const variant of variants) {
      const { retrievalBudget = DEFAULTS.retrievalBudget } = variant.settings;
      for (const result of subject.measure(variant.settings, [retrievalBudget], true)) {
        variant.results.push(result);
        say(`${name}, ${prompt.text}: ${variant.name}, KL ${result.kl.toPrecision(3)}, needles ${found(result)}`);
      }
    }
    subject.close();
  }
  say("");
  const report = [
    `# Wave against full attention: ${name}`,
    "",
    `${POSITIONS} positions a prompt, teacher-forced; needles of six digits at ten depths of each prompt. Token ids: ` +
      `${measured.map(({ text, promptTokens, hash }) => `${text} ${promptTokens} ${hash}`).join(", ")}.`,
    "",
    budgetTable(name.startsWith("qwen"), measured, budgets),
    ...(variants.length > 0
      ? ["", `The defaults with one change at a time:`, "", variantTable(measured, variants)]
      : []),
    "",
  ].join("\n");
  process.stdout.write(report);
  if (values.settings || values.text) return;
  await mkdir(RESULTS, { recursive: true });
  const date = new Date().toISOString().slice(0, 10);
  const record = {
    date,
    revision: revision(),
    model: name,
    hardware: describeHardware(),
    defaults: DEFAULTS,
    prompts: measured,
    budgets,
    variants,
  };
  await writeFile(new URL(`fidelity-${name}.json`, RESULTS), `${JSON.stringify(record, null, 1)}\n`);
  await writeFile(new URL(`fidelity-${name}.md`, RESULTS), report);
}

/** @param {import("./fidelity/report.mjs").Result} result */
function found(result) {
  return "found" in result ? `${result.found}/${result.needles}` : "not asked";
}

/** Progress: one line that is written over where a person watches, lines otherwise. @param {string} text */
function say(text) {
  process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${text}` : `${text}\n`);
}
