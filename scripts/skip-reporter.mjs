// @ts-check
/** A vitest reporter that names every skipped test with its reason: `ctx.skip(reason)`, or the title where it is static. */
export default class SkipReporter {
  /** @type {string[]} */
  #lines = [];

  /** @param {import("vitest/node").TestCase} test */
  onTestCaseResult(test) {
    const result = test.result();
    if (result.state !== "skipped") return;
    this.#lines.push(
      `skipped: ${test.module.relativeModuleId} > ${test.fullName}${result.note ? `: ${result.note}` : ""}`,
    );
  }

  onTestRunEnd() {
    if (this.#lines.length > 0) process.stdout.write(`\n${this.#lines.join("\n")}\n`);
  }
}
