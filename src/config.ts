/**
 * The one configuration table: flag, environment variable, default, parser with its bound, and help, one option a row.
 * Command-line flags are generated from it; no other module reads the environment.
 * Precedence: flag, then environment variable, then default.
 */

import type { OptionParser } from "./config-parsers.js";
import * as parse from "./config-parsers.js";

export type CommandName = "serve" | "run" | "chat";

export interface OptionRow<Value> {
  /** As commander reads it: `--name <argument>`. */
  readonly flag: string;
  readonly env: string;
  readonly defaultValue: Value;
  /** Shown in the help in place of a default that is decided at start. */
  readonly defaultText?: string;
  readonly parse: OptionParser<Value>;
  readonly help: string;
  readonly commands: readonly CommandName[];
}

const ALL: readonly CommandName[] = ["serve", "run", "chat"];
const SERVE: readonly CommandName[] = ["serve"];
const TERMINAL: readonly CommandName[] = ["run", "chat"];

function option<Value>(
  commands: readonly CommandName[],
  flag: string,
  env: string,
  defaultValue: Value,
  parser: OptionParser<Value>,
  help: string,
  defaultText?: string,
): OptionRow<Value> {
  return Object.freeze({ commands, flag, env: `WAVEKV_${env}`, defaultValue, parse: parser, help, defaultText });
}

type LogLevel = "auto" | "silent" | "error" | "warn" | "info" | "debug";
type KvType = "f16" | "q8";
type SimdLevel = "auto" | "avx512" | "avx2" | "portable";
const none = null as number | null;

// biome-ignore format: one row a line is what makes this a table
export const OPTIONS = Object.freeze({
  host: option(SERVE, "--host <address>", "HOST", "127.0.0.1", parse.text(1, 255), "address to listen on; 0.0.0.0 for every interface"),
  port: option(SERVE, "--port <number>", "PORT", 8080, parse.integer(0, 65_535), "port to listen on; 0 picks a free one"),
  apiKey: option(SERVE, "--api-key <key>", "API_KEY", null as string | null, parse.orNull(parse.text(1, 4096)), "key that requests must carry as `Authorization: Bearer`", "no key"),
  shutdownTimeout: option(SERVE, "--shutdown-timeout <seconds>", "SHUTDOWN_TIMEOUT", 30, parse.integer(0, 3600), "how long running requests may finish after SIGTERM"),
  pingInterval: option(SERVE, "--ping-interval <seconds>", "PING_INTERVAL", 5, parse.integer(1, 3600), "silence of a stream after which a comment keeps its connection alive"),
  logLevel: option(SERVE, "--log-level <level>", "LOG_LEVEL", "auto" as LogLevel, parse.choice<LogLevel>("auto", "silent", "error", "warn", "info", "debug"), "logs on stderr: silent, error, warn, info, debug; auto is warn on a terminal, else info"),

  model: option(ALL, "--model <name>", "MODEL", "smollm2-135m", parse.text(1, 4096), "name from `wavekv models list`, path of a GGUF file, or hub name"),
  ctxSize: option(ALL, "--ctx-size <tokens>", "CTX_SIZE", none, parse.orNull(parse.integer(256, 16_777_216)), "largest prompt and completion of one sequence", "the model's own, up to 32768"),
  parallel: option(SERVE, "--parallel <count>", "PARALLEL", 4, parse.integer(1, 256), "sequences that run at the same time"),
  threads: option(ALL, "--threads <count>", "THREADS", none, parse.orNull(parse.integer(1, 1024)), "CPU threads of the engine", "every CPU that this process may use"),
  simd: option(ALL, "--simd <level>", "SIMD", "auto" as SimdLevel, parse.choice<SimdLevel>("auto", "avx512", "avx2", "portable"), "CPU instructions to use: auto, avx512, avx2 or portable"),
  ropeScaling: option(ALL, "--rope-scaling <kind>", "ROPE_SCALING", null as RopeScaling | null, parse.orNull(parse.choice<RopeScaling>("none", "linear", "yarn")), "stretch the model's positions: none, linear or yarn", "the model's own"),
  ropeScale: option(ALL, "--rope-scale <factor>", "ROPE_SCALE", none, parse.orNull(parse.decimal(1, 1024)), "factor of --rope-scaling", "the model's own"),
  kvMemory: option(ALL, "--kv-memory <bytes>", "KV_MEMORY", none, parse.orNull(parse.bytes(1 << 20, 2 ** 46)), "memory for the KV cache, such as 800MiB or 4GiB", "enough for --parallel contexts, at most half of the memory"),

  attention: option(ALL, "--attention <mode>", "ATTENTION", "wave" as "wave" | "full", parse.choice<"wave" | "full">("wave", "full"), "default of requests: wave uses the wave index in long contexts, full reads every key"),
  retrievalBudget: option(ALL, "--retrieval-budget <share>", "RETRIEVAL_BUDGET", none, parse.orNull(parse.decimal(0, 1)), "share of clusters attended exactly, 0 to 1", "the engine's"),
  estimationBudget: option(ALL, "--estimation-budget <share>", "ESTIMATION_BUDGET", none, parse.orNull(parse.decimal(0, 1)), "share of clusters estimated from their centroids, 0 to 1", "the engine's"),
  localWindow: option(ALL, "--local-window <tokens>", "LOCAL_WINDOW", none, parse.orNull(parse.integer(1, 65_536)), "latest tokens that are always attended exactly", "the engine's"),
  kvType: option(ALL, "--kv-type <type>", "KV_TYPE", none as KvType | null, parse.orNull(parse.choice<KvType>("q8", "f16")), "how segments keep keys and values: q8 or f16", "q8"),
  segmentTokens: option(ALL, "--segment-tokens <tokens>", "SEGMENT_TOKENS", none, parse.orNull(parse.integer(128, 32_768)), "tokens of one segment of the wave index", "the engine's"),
  prefixCache: option(ALL, "--prefix-cache <on|off>", "PREFIX_CACHE", "on" as "on" | "off", parse.choice<"on" | "off">("on", "off"), "reuse the segments of earlier prompts that begin alike, while --kv-memory has room"),
  blockCache: option(ALL, "--block-cache <MiB>", "BLOCK_CACHE", 0, parse.integer(0, 1_048_576), "MiB of block cache in the fast tier; 0 keeps everything there"),

  system: option(TERMINAL, "--system <text>", "SYSTEM", null as string | null, parse.orNull(parse.text(1, 1_000_000)), "system message", "none"),
  maxTokens: option(TERMINAL, "--max-tokens <count>", "MAX_TOKENS", none, parse.orNull(parse.integer(1, 16_777_216)), "largest number of completion tokens", "the rest of the context"),
  temperature: option(TERMINAL, "--temperature <value>", "TEMPERATURE", 0.7, parse.decimal(0, 2), "0 always takes the likeliest token"),
  topP: option(TERMINAL, "--top-p <share>", "TOP_P", 0.95, parse.decimal(1e-6, 1), "keep the likeliest tokens that make up this share"),
  topK: option(TERMINAL, "--top-k <count>", "TOP_K", 0, parse.integer(0, 1_000_000), "keep this many of the likeliest tokens; 0 keeps all"),
  minP: option(TERMINAL, "--min-p <share>", "MIN_P", 0, parse.decimal(0, 1), "drop tokens below this share of the likeliest one's probability"),
  seed: option(TERMINAL, "--seed <number>", "SEED", none, parse.orNull(parse.integer(0, 4_294_967_295)), "seed of the sampler", "random"),
});

export type RopeScaling = "none" | "linear" | "yarn";
export type OptionKey = keyof typeof OPTIONS;
export type Config = { readonly [Key in OptionKey]: (typeof OPTIONS)[Key]["defaultValue"] };

/** A value that the table refuses; the message names the flag or the environment variable. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ConfigError";
  }
}

/** The options of one command, in the table's order. */
export function optionsOf(command: CommandName): [OptionKey, OptionRow<unknown>][] {
  const rows = Object.entries(OPTIONS) as [OptionKey, OptionRow<unknown>][];
  return rows.filter(([, row]) => row.commands.includes(command));
}

/** The flag without its argument: `--ctx-size`. */
export function flagName(row: OptionRow<unknown>): string {
  return row.flag.split(" ", 1)[0] as string;
}

/**
 * Reads the options of `command`; options of other commands keep their defaults.
 * `flags` holds the text given on the command line, by option key. Throws ConfigError.
 */
export function loadConfig(
  command: CommandName,
  flags: Readonly<Partial<Record<OptionKey, string>>>,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Config {
  const config: Record<string, unknown> = {};
  for (const [key, row] of Object.entries(OPTIONS) as [OptionKey, OptionRow<unknown>][]) {
    config[key] = row.commands.includes(command) ? readOption(row, flags[key], environment[row.env]) : row.defaultValue;
  }
  return Object.freeze(config) as Config;
}

function readOption(row: OptionRow<unknown>, flag: string | undefined, variable: string | undefined): unknown {
  // An empty variable counts as absent, as in `WAVEKV_API_KEY= wavekv serve`.
  const fromEnvironment = flag === undefined && variable !== undefined && variable !== "";
  const source = fromEnvironment ? variable : flag;
  if (source === undefined) return row.defaultValue;
  const result = row.parse(source);
  if (result.ok) return result.value;
  const name = fromEnvironment ? row.env : flagName(row);
  throw new ConfigError(`${name} must be ${result.expected}; it is ${JSON.stringify(source)}`);
}
