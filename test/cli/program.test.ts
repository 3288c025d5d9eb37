import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { optionsOf } from "../../src/config.js";
import { CATALOGUE } from "../../src/model/catalogue.js";
import { hasBuild } from "../support/real-server.js";

async function wavekv(...args: string[]) {
  const child = spawn(process.execPath, ["dist/main.js", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { code: child.exitCode, stdout, stderr };
}

describe.skipIf(!hasBuild())("wavekv", () => {
  it("has a help that names every command and shows examples", async () => {
    const { code, stdout } = await wavekv("--help");
    expect(code).toBe(0);
    for (const command of ["serve", "run", "chat", "models", "bench"])
      expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, "m"));
    expect(stdout).toContain("Examples:");
  });

  it.each(["serve", "run", "chat"] as const)("%s --help has every option with its variable", async (command) => {
    const { code, stdout } = await wavekv(command, "--help");
    expect(code).toBe(0);
    const flat = stdout.replace(/\s+/g, " ");
    for (const [, row] of optionsOf(command)) {
      expect(flat).toContain(row.flag);
      expect(flat).toContain(`env: ${row.env}`);
    }
    expect(stdout).toContain("Examples:");
  });

  it.each([
    [["serve", "--prot", "1"], "--prot"],
    [["serve", "--port", "99999"], "--port"],
    [["serve", "extra"], "argument"],
    [["run", "--port", "1", "-p", "x"], "--port"],
    [["run"], "--prompt"],
    [["serv"], "serv"],
    [["bench", "nothing"], "nothing"],
    [[], "Usage"],
  ])("%j is a misuse: exit code 2, named on stderr", async (args, name) => {
    const { code, stdout, stderr } = await wavekv(...args);
    expect(stderr).toContain(name);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  it("prints its version", async () => {
    expect((await wavekv("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("lists the catalogue", async () => {
    const { code, stdout } = await wavekv("models", "list");
    expect(code).toBe(0);
    for (const { name } of CATALOGUE) expect(stdout).toContain(name);
  });

  it("says which file or model is missing, with exit code 1 and no stack", async () => {
    const noModel = await wavekv("run", "-p", "x", "--model", "no-such-model");
    expect(noModel).toMatchObject({ code: 1, stderr: expect.stringContaining("no-such-model") });
    expect(noModel.stderr).not.toContain("    at ");
    const noFile = await wavekv("run", "-f", "/no/such/file.txt", "-p", "x");
    expect(noFile).toMatchObject({ code: 1, stderr: expect.stringContaining("/no/such/file.txt") });
  });
});
