// @ts-check
// `npm start [-- options]`: sets up what is missing, then runs `wavekv serve` with the options in this same process,
// so that signals and the exit code are the server's own.
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { checkNodeVersion, setUp } from "./setup.mjs";
import { ignoreSignalCopies } from "./signals.mjs";
import { SetUpError } from "./step.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

try {
  const callerDirectory = process.cwd();
  process.chdir(root);
  checkNodeVersion();
  const args = process.argv.slice(2);
  await setUp({ models: modelsOf(args) });
  process.chdir(callerDirectory);
  ignoreSignalCopies();
  const main = join(root, "dist", "main.js");
  process.argv = [process.execPath, main, "serve", ...args];
  await import(pathToFileURL(main).href);
} catch (error) {
  if (!(error instanceof SetUpError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

/**
 * The model that the server will want (undefined: its default); none where it will only print its help.
 *
 * @param {string[]} args
 */
function modelsOf(args) {
  if (args.includes("--help") || args.includes("-h") || args.includes("--version")) return [];
  const at = args.findIndex((arg) => arg === "--model" || arg.startsWith("--model="));
  const named = at < 0 ? undefined : args[at]?.startsWith("--model=") ? args[at].slice(8) : args[at + 1];
  return [named ?? (process.env.WAVEKV_MODEL || undefined)];
}
