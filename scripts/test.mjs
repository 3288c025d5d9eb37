// @ts-check
// `npm test`: the set-up, then every check and suite; `--long`: the set-up, then the long suites. Counts go to
// build/reports/ for .ci/run. A suite that breaks without a count is one failure.
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { setUp } from "./setup.mjs";
import { SetUpError } from "./step.mjs";
import { addUp, runCheck, runNativeTests, runVitest } from "./suites.mjs";

/** @typedef {import("./suites.mjs").SuiteResult} SuiteResult */

const MINUTE_MS = 60_000;
const REPORTS = "build/reports";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));
const isLong = process.argv.includes("--long");
const reportPath = `${REPORTS}/${isLong ? "long" : "test"}.json`;
rmSync(reportPath, { force: true });
mkdirSync(REPORTS, { recursive: true });

/** @type {SuiteResult[]} */
const results = [];
try {
  const start = performance.now();
  await setUp({ models: isLong ? [undefined, "qwen2.5-coder-0.5b"] : [undefined] });
  process.stdout.write(`Set-up done after ${((performance.now() - start) / 1000).toFixed(0)} s\n`);
  if (isLong) {
    results.push(await runVitest("long", ["--project", "long"], 60 * MINUTE_MS));
  } else {
    results.push(await runCheck());
    results.push(...(await runNativeTests("build/native", 5 * MINUTE_MS)));
    results.push(await runVitest("unit", ["--project", "unit"], 15 * MINUTE_MS));
    const gatewayConfig = "vitest.gateway.config.ts";
    if (existsSync(gatewayConfig)) {
      results.push(await runVitest("gateway", ["--config", gatewayConfig], 10 * MINUTE_MS));
    }
  }
} catch (error) {
  process.stderr.write(`${error instanceof SetUpError ? error.message : /** @type {Error} */ (error).stack}\n`);
  results.push({ name: "set-up", passed: 0, failed: 1, skipped: 0, seconds: 0 });
}

const sum = addUp(results);
writeFileSync(reportPath, JSON.stringify(sum));
printSummary(results);
process.exitCode = sum.failed === 0 ? 0 : 1;

/** @param {SuiteResult[]} rows */
function printSummary(rows) {
  const width = Math.max(...rows.map((row) => row.name.length), 5);
  process.stdout.write("\n");
  for (const row of [...rows, { name: "total", ...sum, seconds: rows.reduce((all, one) => all + one.seconds, 0) }]) {
    const skipped = row.skipped > 0 ? `  ${row.skipped} skipped` : "";
    const counts = `${String(row.passed).padStart(6)} passed ${String(row.failed).padStart(5)} failed`;
    process.stdout.write(`  ${row.name.padEnd(width)} ${counts} ${row.seconds.toFixed(1).padStart(7)} s${skipped}\n`);
  }
}
