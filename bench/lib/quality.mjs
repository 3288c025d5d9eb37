// @ts-check
// The quality that stands beside speed: the fidelity run of the same build and settings, or none.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { markdownTable } from "./table.mjs";

/**
 * @typedef {{ revision: string, defaults: Record<string, unknown>, prompts: any[], budgets: any[] }} FidelityRun
 * @typedef {{ revision: string, engines: { wavekv: Record<string, any> } }} SpeedRun
 */

/**
 * Why the two runs may not stand side by side, or null.
 *
 * @param {SpeedRun} speed
 * @param {Pick<FidelityRun, "revision" | "defaults">} fidelity
 */
export function whyNotJoined(speed, fidelity) {
  if (speed.revision.endsWith("+changes") || speed.revision !== fidelity.revision)
    return `fidelity was measured at revision ${fidelity.revision ?? "unknown"}, speed at ${speed.revision}`;
  const { wave } = speed.engines.wavekv;
  const names = [...new Set([...Object.keys(wave), ...Object.keys(fidelity.defaults)])];
  const differing = names.filter((name) => wave[name] !== fidelity.defaults[name]);
  return differing.length > 0 ? `fidelity was measured with other settings: ${differing.join(", ")}` : null;
}

/** The defaults on every prompt. @param {Pick<FidelityRun, "prompts" | "budgets">} fidelity */
export function fidelityRows({ prompts, budgets }) {
  /** @param {number} share */
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  return budgets
    .filter(({ withFloor }) => withFloor)
    .map((result) => {
      const prompt = prompts.find((one) => one.text === result.text && one.promptTokens === result.promptTokens);
      return [
        `${result.text}, ${result.promptTokens}`,
        result.kl.toPrecision(2),
        percent(result.top1),
        percent(result.bytesBeyondTail),
        `${result.found}/${result.needles}`,
        `${prompt.full.found}/${prompt.full.needles}`,
      ];
    });
}

/**
 * The table, or a sentence on why there is none.
 *
 * @param {URL} results folder of the results
 * @param {string} modelName
 * @param {SpeedRun} speed
 */
export async function qualityTable(results, modelName, speed) {
  const file = new URL(`fidelity-${modelName}.json`, results);
  const command = `npm run bench:fidelity -- --model ${modelName} --no-variants`;
  if (!existsSync(file)) return `None yet: \`${command}\`, then the speed again.`;
  const fidelity = JSON.parse(await readFile(file, "utf8"));
  const reason = whyNotJoined(speed, fidelity);
  if (reason) return `None: ${reason}. \`${command}\` measures it anew, then the speed again.`;
  const header = ["prompt", "KL", "top-1", "bytes beyond the tail", "needles", "with full attention"];
  return markdownTable(header, fidelityRows(fidelity));
}
