// @ts-check
// Sums build/reports/<step>.json of the steps `name=status` and prints the one closing line of .ci/run.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const reportDir = join(dirname(dirname(fileURLToPath(import.meta.url))), "build", "reports");
let passed = 0;
let failed = 0;
let skipped = 0;
for (const argument of process.argv.slice(2)) {
  const [step, status] = argument.split("=");
  const sum = readSum(join(reportDir, `${step}.json`));
  const broke = sum.failed === 0 && (status !== "0" || sum.passed === 0);
  passed += sum.passed;
  failed += sum.failed + (broke ? 1 : 0);
  skipped += sum.skipped;
}
process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`);
process.exitCode = failed === 0 ? 0 : 1;

/**
 * A report that is missing or cut short counts nothing, which makes its step a broken one.
 *
 * @param {string} path
 * @returns {{ passed: number, failed: number, skipped: number }}
 */
function readSum(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}
