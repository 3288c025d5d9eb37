// @ts-check
// The suites that `npm test` runs, each brought to the same counts.
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { runCommand } from "./run-command.mjs";

/**
 * @typedef {object} SuiteResult
 * @property {string} name
 * @property {number} passed
 * @property {number} failed a suite that broke without a count is one failure
 * @property {number} skipped the suite's own output names them and the reasons
 * @property {number} seconds
 */

const CHECK_TIMEOUT_MS = 5 * 60_000;

/** Lint, format and types: nothing is counted when they pass, one failure when they do not. */
export async function runCheck() {
  const timer = startTimer();
  process.stdout.write("\nnpm run check\n");
  const { status } = await runCommand("npm", ["run", "--silent", "check"], { show: true, timeoutMs: CHECK_TIMEOUT_MS });
  return { name: "check", passed: 0, failed: status === 0 ? 0 : 1, skipped: 0, seconds: timer() };
}

/**
 * Runs every executable `test_*` of the native build; each ends with a line `N passed, N failed`.
 *
 * @param {string} buildDir
 * @param {number} timeoutMs bound for one executable
 * @returns {Promise<SuiteResult[]>}
 */
export async function runNativeTests(buildDir, timeoutMs) {
  const results = [];
  for (const path of findNativeTests(buildDir)) {
    const timer = startTimer();
    const { status, output } = await runCommand(path, [], { timeoutMs });
    const counts = [...output.matchAll(/(\d+) passed, (\d+) failed/g)].at(-1);
    const passed = Number(counts?.[1] ?? 0);
    const counted = Number(counts?.[2] ?? 0);
    const broke = counted === 0 && (status !== 0 || passed === 0);
    const failed = broke ? 1 : counted;
    if (failed > 0) process.stdout.write(`\n${path} (status ${status})\n${output.trimEnd().replace(/^/gm, "  | ")}\n`);
    results.push({ name: `native ${basename(path)}`, passed, failed, skipped: 0, seconds: timer() });
  }
  return results;
}

/** @param {string} directory @returns {string[]} */
function findNativeTests(directory) {
  if (!existsSync(directory)) return [];
  const found = readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return entry.name === "CMakeFiles" ? [] : findNativeTests(path);
    return entry.isFile() && /^test_\w+$/.test(entry.name) ? [path] : [];
  });
  return found.sort();
}

/**
 * @param {string} name
 * @param {string[]} args which configuration or project
 * @param {number} timeoutMs
 * @returns {Promise<SuiteResult>}
 */
export async function runVitest(name, args, timeoutMs) {
  const timer = startTimer();
  const reportPath = `build/reports/vitest-${name}.json`;
  rmSync(reportPath, { force: true });
  const reporters = ["default", "json", "./scripts/skip-reporter.mjs"].map((reporter) => `--reporter=${reporter}`);
  process.stdout.write(`\nvitest, ${name}\n`);
  const command = ["node_modules/vitest/vitest.mjs", "run", ...args, ...reporters, `--outputFile.json=${reportPath}`];
  const { status } = await runCommand(process.execPath, command, { show: true, timeoutMs });
  return { name: `vitest ${name}`, ...readVitestReport(reportPath, status), seconds: timer() };
}

/**
 * Counts of vitest's JSON report. A missing report, a run without tests, a file that could not be loaded and an error
 * outside any test are failures, though no test failed.
 *
 * @param {string} reportPath
 * @param {number} status vitest's exit status
 */
export function readVitestReport(reportPath, status) {
  if (!existsSync(reportPath)) return { passed: 0, failed: 1, skipped: 0 };
  /** @type {{ testResults: { status: string, assertionResults: { status: string }[] }[] }} */
  const report = JSON.parse(readFileSync(reportPath, "utf8"));
  const tests = report.testResults.flatMap((file) => file.assertionResults);
  const passed = tests.filter((test) => test.status === "passed").length;
  const failedTests = tests.filter((test) => test.status === "failed").length;
  const brokenFiles = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  ).length;
  const counted = failedTests + brokenFiles;
  const broke = counted === 0 && (status !== 0 || passed === 0);
  const skipped = tests.length - passed - failedTests;
  return { passed, failed: broke ? 1 : counted, skipped };
}

/** @param {SuiteResult[]} results */
export function addUp(results) {
  return {
    passed: results.reduce((sum, result) => sum + result.passed, 0),
    failed: results.reduce((sum, result) => sum + result.failed, 0),
    skipped: results.reduce((sum, result) => sum + result.skipped, 0),
  };
}

/** @returns {() => number} seconds since the start */
function startTimer() {
  const start = performance.now();
  return () => (performance.now() - start) / 1000;
}
