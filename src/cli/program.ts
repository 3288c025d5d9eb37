/** The command line: commands, their options from the configuration table, and exit codes (0 done, 1 failed, 2 misused). */

import { Command, CommanderError } from "commander";
import {
  type CommandName,
  type Config,
  ConfigError,
  loadConfig,
  type OptionKey,
  type OptionRow,
  optionsOf,
} from "../config.js";
import { CallerError } from "../errors.js";
import { ModelFetchError } from "../model/fetch-error.js";
import { listBenches, runBench } from "./bench.js";
import { EXAMPLES } from "./examples.js";
import { LoadError } from "./load-error.js";
import type { RunInput } from "./run.js";
import { packageVersion } from "./version.js";

/** Errors whose message says enough; others come with their stack. */
const MENDABLE = [ConfigError, CallerError, ModelFetchError, LoadError];

const EXIT_FAILED = 1;
const EXIT_MISUSED = 2;

/** Runs the command that `args` names; resolves to the exit code and never throws for what the user can mend. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  // A reader that has seen enough, such as `head`, is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : EXIT_FAILED));
  const program = buildProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    return exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  // Commander has printed its message already; help and version end with code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_MISUSED;
  const known = MENDABLE.some((kind) => error instanceof kind);
  const { message, stack } = error as Error;
  process.stderr.write(`wavekv: ${known || !stack ? message : stack}\n`);
  return error instanceof ConfigError ? EXIT_MISUSED : EXIT_FAILED;
}

/** Each command's own module is imported when it runs: a help must not wait for the server's packages. */
function buildProgram(setExitCode: (code: number) => void): Command {
  const program = new Command("wavekv")
    .description("Long-context LLM server whose KV cache is a vector store.")
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .addHelpText("after", EXAMPLES.program)
    .enablePositionalOptions()
    .exitOverride();

  const serveCommand = configured(program.command("serve"), "serve")
    .description("Serve a model over the OpenAI API.")
    .addHelpText("after", EXAMPLES.serve);
  serveCommand.action(async () => {
    const config = configOf(serveCommand, "serve");
    const { serve } = await import("./serve.js");
    setExitCode(await serve(config));
  });

  const runCommand = configured(
    program
      .command("run")
      .option("-p, --prompt <text>", "the question, or the whole prompt")
      .option("-f, --file <path>", "a text file to ask about; - reads standard input"),
    "run",
  )
    .description("Answer one prompt in the terminal.")
    .addHelpText("after", EXAMPLES.run);
  runCommand.action(async () => {
    const [config, input] = [configOf(runCommand, "run"), inputOf(runCommand)];
    const { runOnce } = await import("./run.js");
    setExitCode(await runOnce(config, input));
  });

  const chatCommand = configured(program.command("chat"), "chat")
    .description("Talk with a model in the terminal.")
    .addHelpText("after", EXAMPLES.chat);
  chatCommand.action(async () => {
    const config = configOf(chatCommand, "chat");
    const { runChat } = await import("./chat.js");
    setExitCode(await runChat(config));
  });

  addModelCommands(program);
  addBenchCommand(program, setExitCode);
  return program;
}

function addModelCommands(program: Command): void {
  const models = program.command("models").description("List the models known by name, and fetch them.");
  models
    .command("list")
    .description("List the models known by name.")
    .action(async () => {
      const { listModels } = await import("./models.js");
      await listModels();
    });
  models
    .command("pull")
    .argument("<name>", "name from `wavekv models list`, or owner/repository[:file] on the model hub")
    .description("Fetch a model into the cache and verify it.")
    .action(async (name: string) => {
      const { pullModel } = await import("./models.js");
      await pullModel(name);
    });
}

function addBenchCommand(program: Command, setExitCode: (code: number) => void): void {
  program
    .command("bench")
    .description("Run a benchmark; what follows its name goes to it.")
    .argument("[name]", "which benchmark", "decode")
    .argument("[args...]", "its arguments")
    .allowUnknownOption()
    .passThroughOptions()
    .addHelpText("after", () => `\nBenchmarks: ${listBenches().join(", ") || "none in this installation"}\n`)
    .action(async (name: string, args: string[]) => setExitCode(await runBench(name, args)));
}

/** Adds the table's options of a command, each as text: the table's own parser judges it. */
function configured(command: Command, name: CommandName): Command {
  for (const [, row] of optionsOf(name)) command.option(row.flag, optionHelp(row));
  return command;
}

function optionHelp(row: OptionRow<unknown>): string {
  return `${row.help} (default: ${row.defaultText ?? row.defaultValue}; env: ${row.env})`;
}

function configOf(command: Command, name: CommandName): Config {
  return loadConfig(name, command.opts<Partial<Record<OptionKey, string>>>());
}

function inputOf(command: Command): RunInput {
  const { prompt, file } = command.opts<{ prompt?: string; file?: string }>();
  if (prompt === undefined && file === undefined) {
    throw new ConfigError("run needs --prompt, --file, or both");
  }
  return { prompt: prompt ?? null, file: file ?? null };
}
