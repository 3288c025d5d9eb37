import { spawn } from "node:child_process";
import { once } from "node:events";

export interface ExampleRun {
  code: number | null;
  stdout: string;
  stderr: string;
  /** Pieces in which standard output arrived: a streamed answer comes in many. */
  numWrites: number;
}

/** Runs a program to its end, with no OPENAI_ variable of this process in its way. */
export async function runExample(
  file: string,
  args: readonly string[],
  { input = "", env = {} }: { input?: string; env?: Record<string, string> } = {},
): Promise<ExampleRun> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("OPENAI_"));
  const child = spawn(file, args, { env: { ...Object.fromEntries(inherited), ...env } });
  const run: ExampleRun = { code: null, stdout: "", stderr: "", numWrites: 0 };
  child.stdout.setEncoding("utf8").on("data", (text) => {
    run.stdout += text;
    run.numWrites += 1;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    run.stderr += text;
  });
  child.stdin.end(input);
  const [code] = await once(child, "close");
  return { ...run, code };
}
