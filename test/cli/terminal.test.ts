import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasBuild } from "../support/real-server.js";

const GREEDY = ["--temperature", "0", "--ctx-size", "2048", "--max-tokens", "40"];

async function wavekv(args: readonly string[], input = "") {
  const child = spawn(process.execPath, ["dist/main.js", ...args]);
  child.stdin.end(input);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { code: child.exitCode, stdout, stderr };
}

describe.skipIf(!hasBuild())("answers in the terminal", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "wavekv-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("run -p prints the answer on stdout and the figures on stderr", async () => {
    const result = await wavekv(["run", "-p", "What is the capital of France?", ...GREEDY]);
    expect(result.code).toBe(0);
    expect(result.stdout).toContain("Paris");
    expect(result.stderr).toMatch(/^\d+ prompt tokens in .* tokens in /m);
    expect(result.stdout).not.toContain("prompt tokens");
  });

  it("run -f answers about a document, from a file or standard input", async () => {
    const document = "Inventory of the harbour office: one red boat, two green buoys, seven yellow ropes.";
    const path = join(folder, "document.txt");
    await writeFile(path, document);
    const question = ["-p", "Which colour is the boat? Answer with one word.", ...GREEDY];
    const fromFile = await wavekv(["run", "-f", path, ...question]);
    expect(fromFile.stdout.toLowerCase()).toContain("red");
    const fromInput = await wavekv(["run", "-f", "-", ...question], document);
    expect(fromInput.stdout).toBe(fromFile.stdout);
  });

  it("run refuses a document that does not fit, with the counts", async () => {
    const path = join(folder, "long.txt");
    await writeFile(path, "word ".repeat(5000));
    const result = await wavekv(["run", "-f", path, "--ctx-size", "1024"]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/1024 tokens.* 50\d\d tokens/);
    expect(result.stderr).not.toContain("    at ");
  });

  it("run refuses a file that is not text", async () => {
    const path = join(folder, "bytes.bin");
    await writeFile(path, Uint8Array.of(0xff, 0xfe, 0x00, 0xd8));
    expect(await wavekv(["run", "-f", path])).toMatchObject({ code: 1, stderr: expect.stringContaining("not UTF-8") });
  });

  it("chat remembers the conversation until /clear, and ends with its input", async () => {
    const question = "What is the secret word?";
    const lines = [
      "The secret word is banana. Repeat the secret word.",
      question,
      "/clear",
      "/what",
      question,
      "/exit",
      "unread",
    ];
    const result = await wavekv(["chat", ...GREEDY], `${lines.join("\n")}\n`);
    expect(result.code).toBe(0);
    const answers = result.stdout
      .trim()
      .split("\n")
      .filter((line) => line !== "");
    expect(answers.slice(0, -1).join("\n")).toContain("secret word is banana");
    expect(answers.at(-1)).not.toContain("banana");
    expect(result.stderr).toContain("/clear");
  });
});
