import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasModel } from "../support/has-model.js";
import { hasBuild, REAL_MODEL, type RealServer, startRealServer } from "../support/real-server.js";
import { installPythonClient, type PythonClient } from "./python-client.js";
import { runExample } from "./run-example.js";

const ASK = "examples/ask-document/ask-document.mjs";
const CHAT = "examples/chat-codebase/chat-codebase.mjs";
const ANALYSE = "examples/analyse-log/analyse_log.py";
const MAKE_LOG = "examples/analyse-log/make_log.py";

const canRun = hasBuild() && hasModel(REAL_MODEL, "the examples");

// Short segments let prompts of a thousand tokens use the wave index. The limit is for a busy machine.
describe.skipIf(!canRun)("the examples against the real server", { timeout: 120_000 }, () => {
  let server: RealServer;
  let python: PythonClient;
  let folder: string;
  let baseUrl: string[];
  let closedUrl: string[];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "wavekv-examples-"));
    [server, python] = await Promise.all([
      startRealServer("--ctx-size", "2048", "--segment-tokens", "256"),
      installPythonClient(),
    ]);
    baseUrl = ["--base-url", `${server.url}/v1`];
    closedUrl = ["--base-url", `http://127.0.0.1:${await closedPort()}/v1`];
  }, 240_000);
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await server.stop();
  });

  const node = (script: string, args: string[], input?: string) =>
    runExample(process.execPath, [script, ...args], { input });
  const py = (script: string, args: string[]) =>
    runExample("python3", [script, ...args], { env: { PYTHONPATH: python.folder ?? "" } });
  const write = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };

  describe("ask-document", () => {
    const question = "What must I do if I distribute changed files?";

    it("streams an answer about a long document, and reports zones and the share of KV read", async () => {
      const document = write("licence.txt", readFileSync("LICENSE", "utf8").slice(0, 8000));
      const run = await node(ASK, [document, question, "--max-tokens", "24", ...baseUrl]);
      expect(run).toMatchObject({ code: 0, stderr: `smollm2-135m reads ${document} (8,000 characters) ...\n` });
      const [answer, report] = run.stdout.split("\nprompt  ");
      expect(answer?.trim().length).toBeGreaterThan(20);
      expect(run.numWrites).toBeGreaterThan(10);
      const numPromptTokens = figure(report, /^ *([\d,]+) tokens read/);
      expect(numPromptTokens).toBeGreaterThan(1300);
      expect(report).toMatch(/^attention +wave, [4-9] segments, index \d+\.\d MB$/m);
      expect(figure(report, /^KV cache read +([\d.]+) %/m)).toBeLessThan(85);
      const [steady, retrieval, estimation] = ["steady", "retrieval", "estimation"].map((zone) =>
        figure(report, new RegExp(`^ +${zone} +([\\d,]+) `, "m")),
      ) as [number, number, number];
      expect(steady).toBeGreaterThanOrEqual(256);
      expect(Math.min(retrieval, estimation)).toBeGreaterThan(0);
      expect(steady + retrieval + estimation).toBeLessThan(numPromptTokens + 24);
      const masses = [...(report ?? "").matchAll(/^ {2}(?:steady|retrieval|estimation|unattended) .* ([\d.]+) %$/gm)];
      expect(masses).toHaveLength(4);
      expect(masses.reduce((sum, [, mass]) => sum + Number(mass), 0)).toBeCloseTo(100, 0);
    });

    it("passes the mode of attention on", async () => {
      const document = write("short.txt", readFileSync("LICENSE", "utf8").slice(0, 3000));
      const run = await node(ASK, [document, question, "--attention", "full", "--max-tokens", "4", ...baseUrl]);
      expect(run.stdout).toMatch(/^attention +full/m);
      // Full attention reads everything; in segments that is 8 bits a value where f16 would be 16.
      const read = /^KV cache read +([\d.]+) %/m.exec(run.stdout);
      expect(Number(read?.[1])).toBeGreaterThan(53);
    });

    it("says what is wrong, with exit code 1", async () => {
      const document = write("long.txt", "word ".repeat(4000));
      const tooLong = await node(ASK, [document, question, ...baseUrl]);
      expect(tooLong).toMatchObject({ code: 1, stderr: expect.stringMatching(/server refused: .*2048/) });
      const noFile = await node(ASK, [join(folder, "absent.txt"), question, ...baseUrl]);
      expect(noFile).toMatchObject({ code: 1, stderr: expect.stringMatching(/ENOENT.*absent\.txt/) });
      await expectUnreachable(node(ASK, [document, question, ...closedUrl]));
    });

    it("prints its usage where arguments are missing", async () => {
      expect(await node(ASK, [])).toMatchObject({ code: 2, stderr: expect.stringContaining("usage: node") });
    });
  });

  describe("chat-codebase", () => {
    it("answers two turns from the files that fit the budget", async () => {
      const code = makeCodebase(folder);
      const questions = "What does batch.ts do?\n\nWho calls it?\n";
      const run = await node(CHAT, [code, "--budget", "1000", "--max-tokens", "12", ...baseUrl], questions);
      expect(run.code).toBe(0);
      const [, numTokens, taken] = /^3 files, (\d+) of 1000 tokens: (.*)$/m.exec(run.stderr) ?? [];
      expect(taken).toBe("README.md, src/batch.ts, src/small.ts");
      expect(run.stderr).toMatch(/^no room for: src\/large\.ts$/m);
      expect(run.stderr).not.toMatch(/node_modules|photo|\.cache/);
      expect(Number(numTokens)).toBeLessThanOrEqual(1000);

      const answers = run.stdout.trim().split("\n\n");
      expect(answers.length).toBeGreaterThanOrEqual(2);
      const turns = [
        ...run.stderr.matchAll(
          /^\((\d+) prompt tokens, (\d+) known already, \d+ completion tokens; (wave|full), [\d.]+ % of/gm,
        ),
      ];
      expect(turns).toHaveLength(2);
      const [first, second] = turns.map(([, prompt]) => Number(prompt)) as [number, number];
      const [fresh, known] = turns.map(([, , cached]) => Number(cached));
      expect(fresh).toBe(0);
      expect(known).toBeGreaterThanOrEqual(256); // a segment at least
      expect(first).toBeGreaterThan(Number(numTokens));
      expect(first).toBeLessThan(Number(numTokens) + 100);
      // The second turn repeats the first one and its answer.
      expect(second).toBeGreaterThan(first + 5);
    });

    it("says what is wrong, with exit code 1", async () => {
      const code = makeCodebase(folder);
      const noRoom = await node(CHAT, [code, "--budget", "5", ...baseUrl], "Why?\n");
      expect(noRoom).toMatchObject({ code: 1, stderr: expect.stringContaining("no source file that fits 5 tokens") });
      const refused = await node(CHAT, [code, "--budget", "50", "--max-tokens", "5000", ...baseUrl], "Why?\n");
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/server refused: .*2048/) });
      await expectUnreachable(node(CHAT, [code, ...closedUrl], "Why?\n"));
    });
  });

  describe("analyse-log", () => {
    it("makes the same log for the same seed, with the incident in it", async () => {
      const args = ["--lines", "120", "--seed", "3"];
      const [first, again, other] = await Promise.all([
        py(MAKE_LOG, args),
        py(MAKE_LOG, args),
        py(MAKE_LOG, [...args.slice(0, 3), "4"]),
      ]);
      const lines = first.stdout.trimEnd().split("\n");
      expect(lines).toHaveLength(120);
      expect(again.stdout).toBe(first.stdout);
      expect(other.stdout).not.toBe(first.stdout);
      const deploy = lines.findIndex((line) => line.includes("db.pool.max 50 -> 5"));
      const failed = lines.findIndex((line) => line.includes("ERROR"));
      const rollback = lines.findIndex((line) => line.includes("rollback"));
      expect(deploy).toBeGreaterThan(50);
      expect(failed).toBeGreaterThan(deploy);
      expect(rollback).toBeGreaterThan(failed);
      expect(lines.slice(rollback).join()).not.toContain("ERROR");
      expect([...lines].sort()).toEqual(lines); // times only go forward
    });

    it("streams an answer about the newest lines that fit the budget", async ({ skip }) => {
      skip(!python.folder, python.why);
      const log = write("shop.log", (await py(MAKE_LOG, ["--lines", "80"])).stdout);
      const run = await py(ANALYSE, [log, "--budget", "900", "--max-tokens", "24", ...baseUrl]);
      expect(run).toMatchObject({ code: 0 });
      const [, from, numTokens] = /reads lines (\d+)-80 of 80: (\d+) of 900 tokens/.exec(run.stderr) ?? [];
      expect(Number(from)).toBeGreaterThan(1);
      expect(Number(numTokens)).toBeLessThanOrEqual(900);
      expect(Number(numTokens)).toBeGreaterThan(700);
      const [answer, figures] = run.stdout.split(/\n(?=[\d,]+ prompt tokens)/);
      expect(answer?.trim().length).toBeGreaterThan(20);
      expect(figure(figures, /^([\d,]+) prompt tokens/)).toBeGreaterThan(Number(numTokens));
      expect(run.stdout).toMatch(/^wave: [1-9][\d.]* % of the KV cache read/m);
      expect(run.stdout).toMatch(/^tokens attended: steady \d+, retrieval \d+, estimation \d+$/m);
    });

    it("says what is wrong, with exit code 1", async ({ skip }) => {
      skip(!python.folder, python.why);
      const log = write("two.log", "first\nsecond\n");
      const refused = await py(ANALYSE, [log, "--budget", "100", "--max-tokens", "5000", ...baseUrl]);
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/server refused: .*2048/) });
      expect(refused.stderr).not.toContain("Traceback");
      const noFile = await py(ANALYSE, [join(folder, "absent.log"), ...baseUrl]);
      expect(noFile).toMatchObject({ code: 1, stderr: expect.stringContaining("absent.log") });
      await expectUnreachable(py(ANALYSE, [log, ...closedUrl]));
    });
  });
});

async function expectUnreachable(running: ReturnType<typeof runExample>) {
  const run = await running;
  expect(run).toMatchObject({ code: 1, stdout: "" });
  expect(run.stderr).toMatch(/^cannot reach http:\S+; `npm start` starts a server\n$/);
}

function figure(text: string | undefined, pattern: RegExp): number {
  return Number(pattern.exec(text ?? "")?.[1]?.replaceAll(",", ""));
}

/** A small code base with what must not be read in it. */
function makeCodebase(parent: string): string {
  const root = join(parent, "code");
  for (const path of ["src", "node_modules/x", ".cache"]) mkdirSync(join(root, path), { recursive: true });
  const files = {
    "README.md": "# A scheduler\n\nIt fills batches.\n",
    "src/batch.ts": readFileSync("src/scheduler/scheduler.ts", "utf8").slice(0, 2400),
    "src/large.ts": readFileSync("src/scheduler/scheduler.ts", "utf8").repeat(4),
    "src/small.ts": "export const answer = 42;\n",
    "src/photo.png": "not text",
    "node_modules/x/index.js": "module.exports = 1;\n",
    ".cache/old.ts": "export {};\n",
  };
  for (const [path, text] of Object.entries(files)) writeFileSync(join(root, path), text);
  return root;
}

/** A port that nobody listens on: one that was free a moment ago. */
async function closedPort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
