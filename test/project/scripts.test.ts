import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCommand } from "../../scripts/run-command.mjs";
import { checkNodeVersion } from "../../scripts/setup.mjs";
import { hashInputs } from "../../scripts/stamps.mjs";
import { readVitestReport, runNativeTests } from "../../scripts/suites.mjs";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wavekv-scripts-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe("the set-up", () => {
  it("knows which Node is too old", () => {
    for (const version of ["18.20.4", "20.18.3"]) expect(() => checkNodeVersion(version)).toThrow(/needs Node 20.19/);
    for (const version of ["20.19.0", "22.0.0", "24.1.0"]) expect(() => checkNodeVersion(version)).not.toThrow();
  });

  it("makes a step's hash from names, contents and facts, and from nothing else", async () => {
    const hash = (facts: string[] = []) => hashInputs([directory], { except: [join(directory, "skipped")], facts });
    await writeFile(join(directory, "a.cpp"), "one");
    const first = hash();
    expect(hash()).toBe(first);
    expect(hash(["tool 2"])).not.toBe(first);
    await mkdir(join(directory, "skipped"));
    await writeFile(join(directory, "skipped", "b.cpp"), "x");
    expect(hash()).toBe(first);
    await writeFile(join(directory, "a.cpp"), "two");
    const changed = hash();
    expect(changed).not.toBe(first);
    await writeFile(join(directory, "c.cpp"), "");
    expect(hash()).not.toBe(changed);
  });

  it("ends a command that takes too long, with what it started", async () => {
    const start = performance.now();
    const { status, output } = await runCommand("sh", ["-c", "echo begun; sleep 60 | cat"], { timeoutMs: 300 });
    expect(performance.now() - start).toBeLessThan(10_000);
    expect(status).not.toBe(0);
    expect(output).toBe("begun\n");
    expect((await runCommand("no-such-program", [])).status).toBe(127);
  });
});

describe("counts of vitest's report", () => {
  const test = (status: string) => ({ status });
  const read = async (testResults: object[] | null, status: number) => {
    const path = join(directory, "report.json");
    if (testResults) await writeFile(path, JSON.stringify({ testResults }));
    return readVitestReport(path, status);
  };

  it("are its tests", async () => {
    const file = { status: "failed", assertionResults: [test("passed"), test("failed"), test("skipped")] };
    expect(await read([file], 1)).toEqual({ passed: 1, failed: 1, skipped: 1 });
  });

  it.each([
    ["no report", null, 1],
    ["no report, though the status is 0", null, 0],
    ["no tests", [], 0],
    ["a file that cannot be loaded", [{ status: "failed", assertionResults: [] }], 1],
    ["an error outside any test", [{ status: "passed", assertionResults: [test("passed")] }], 1],
  ])("have one failure for %s", async (_title, results, status) => {
    expect((await read(results, status)).failed).toBe(1);
  });
});

describe("native tests", () => {
  const counts = async (script: string) => {
    await mkdir(join(directory, "native-tests"), { recursive: true });
    const path = join(directory, "native-tests", "test_thing");
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
    const results = await runNativeTests(directory, 5000);
    return results.map(({ name, passed, failed }) => ({ name, passed, failed }));
  };

  it("are counted by their last line", async () => {
    expect(await counts("echo '1 passed, 0 failed'; echo '12 passed, 0 failed'")).toEqual([
      { name: "native test_thing", passed: 12, failed: 0 },
    ]);
    expect(await counts("echo '3 passed, 2 failed'; exit 1")).toMatchObject([{ passed: 3, failed: 2 }]);
  });

  it("that crash or count nothing are failures", async () => {
    expect(await counts("kill -SEGV $$")).toMatchObject([{ passed: 0, failed: 1 }]);
    expect(await counts("echo '5 passed, 0 failed'; kill -ABRT $$")).toMatchObject([{ failed: 1 }]);
    expect(await counts("exit 0")).toMatchObject([{ failed: 1 }]);
  });
});

describe(".ci/run", () => {
  /** Runs the real script in a project whose npm scripts only write reports. */
  async function runCi(test: string, long: string): Promise<{ status: number | null; lines: string[] }> {
    await cp(".ci", join(directory, ".ci"), { recursive: true });
    await mkdir(join(directory, "scripts"));
    await cp("scripts/sum-reports.mjs", join(directory, "scripts", "sum-reports.mjs"));
    const scripts = { test, "test:long": long };
    await writeFile(join(directory, "package.json"), JSON.stringify({ name: "x", type: "module", scripts }));
    const { status, stdout } = spawnSync("bash", [".ci/run"], { cwd: directory, encoding: "utf8" });
    return { status, lines: stdout.trimEnd().split("\n") };
  }
  const report = (name: string, passed: number, failed: number, skipped = 0) =>
    `printf '${JSON.stringify({ passed, failed, skipped })}' > build/reports/${name}.json`;

  it("ends with the sum of both", async () => {
    const { status, lines } = await runCi(report("test", 10, 0), report("long", 5, 0));
    expect(lines.at(-1)).toBe("15 passed, 0 failed");
    expect(status).toBe(0);
  });

  it("tells of skipped tests", async () => {
    const { lines } = await runCi(report("test", 10, 0, 2), report("long", 5, 0));
    expect(lines.at(-1)).toBe("15 passed, 0 failed, 2 skipped");
  });

  it("runs the long suites though the first failed, and fails", async () => {
    const { status, lines } = await runCi(`${report("test", 9, 1)} && exit 1`, report("long", 5, 0));
    expect(lines.at(-1)).toBe("14 passed, 1 failed");
    expect(status).toBe(1);
  });

  it("counts a step that broke, or that ran nothing, as a failure", async () => {
    const { status, lines } = await runCi("printf '{' > build/reports/test.json; exit 1", report("long", 0, 0));
    expect(lines.at(-1)).toBe("0 passed, 2 failed");
    expect(lines.filter((line) => /^\d+ passed, \d+ failed/.test(line))).toHaveLength(1);
    expect(status).toBe(1);
  });
});

describe("signals under npm start", () => {
  const SERVER = `
    import { ignoreSignalCopies } from ${JSON.stringify(pathToFileURL("scripts/signals.mjs").href)};
    ignoreSignalCopies();
    if (process.argv[2] === "listening") {
      process.once("SIGTERM", () => setTimeout(() => { console.log("stopped in order"); process.exit(0); }, 3000));
    }
    setTimeout(() => process.exit(9), 20_000);
    console.log("up");`;

  /** Starts a server, sends it SIGTERM after each of the pauses, and tells how it ended. */
  async function endWith(mode: string, pausesMs: number[]): Promise<{ status: number; output: string }> {
    await writeFile(join(directory, "server.mjs"), SERVER);
    const server = spawn(process.execPath, [join(directory, "server.mjs"), mode]);
    let output = "";
    server.stdout.on("data", (text: Buffer) => {
      output += text.toString();
    });
    await once(server.stdout, "data");
    for (const pauseMs of pausesMs) {
      await sleep(pauseMs);
      server.kill("SIGTERM");
    }
    const [status] = (await once(server, "close")) as [number];
    return { status, output };
  }

  it("copies are ignored, and the server stops in order", async () => {
    expect(await endWith("listening", [0, 20])).toEqual({ status: 0, output: "up\nstopped in order\n" });
  });

  it("a second one ends the server at once", async () => {
    expect(await endWith("listening", [0, 700])).toEqual({ status: 143, output: "up\n" });
  });

  it("the first ends a server that does not listen yet", async () => {
    expect(await endWith("loading", [0])).toEqual({ status: 143, output: "up\n" });
  });
});

it("the set-up needs nothing but Node's own modules", async () => {
  // Imported where no package can be found, as on a fresh machine.
  await cp("scripts", join(directory, "scripts"), { recursive: true });
  const program = `const { checkNodeVersion } = await import(process.argv[1]); checkNodeVersion(); console.log("ok");`;
  const args = ["--input-type=module", "-e", program, join(directory, "scripts", "setup.mjs")];
  expect(execFileSync(process.execPath, args, { cwd: directory, encoding: "utf8" })).toBe("ok\n");
});
