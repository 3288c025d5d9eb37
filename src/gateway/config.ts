import { keyDigest } from "./auth.js";
import { GatewayError } from "./errors.js";
import { type GatewayNode, parseNodes } from "./node-list.js";

/** Bindings of the Worker as they arrive: text, or JSON values where wrangler.toml gives numbers and lists. */
export interface GatewayEnv {
  NODES?: unknown;
  GATEWAY_KEYS?: unknown;
  NODE_API_KEY?: unknown;
  CONNECT_TIMEOUT_MS?: unknown;
  MAX_BODY_BYTES?: unknown;
  ROUTING_PREFIX_BYTES?: unknown;
}

export interface GatewayConfig {
  readonly nodes: readonly GatewayNode[];
  /** SHA-256 of each accepted key; the keys themselves are not kept. */
  readonly keyDigests: readonly Uint8Array[];
  /** What the nodes are sent in place of the client's key; null sends none. */
  readonly nodeApiKey: string | null;
  readonly connectTimeoutMs: number;
  readonly maxBodyBytes: number;
  /** How much of a prompt decides its node. */
  readonly routingPrefixBytes: number;
}

const MIN_KEY_CHARS = 16;
const MAX_KEYS = 256;
const KEY_PATTERN = /^[\x21-\x7e]+$/;
const DIGEST_PATTERN = /^sha256:[0-9a-fA-F]{64}$/;

/** Variable, default, lowest and highest value. A Worker has 128 MB of memory in all: hence the bound on the body. */
const NUMBERS = {
  CONNECT_TIMEOUT_MS: [3_000, 50, 60_000],
  MAX_BODY_BYTES: [16 * 1024 * 1024, 1_024, 32 * 1024 * 1024],
  ROUTING_PREFIX_BYTES: [4_096, 64, 65_536],
} as const;

const parsed = new WeakMap<GatewayEnv, GatewayConfig>();

/** The configuration of this Worker, parsed once per isolate. Throws GatewayError `bad_gateway_configuration`. */
export async function loadConfig(env: GatewayEnv): Promise<GatewayConfig> {
  const known = parsed.get(env);
  if (known) return known;
  // The value is kept, not the promise: workerd forbids awaiting a promise of another request.
  const config = await parseConfig(env);
  parsed.set(env, config);
  return config;
}

export async function parseConfig(env: GatewayEnv): Promise<GatewayConfig> {
  return Object.freeze({
    nodes: parseNodes(env.NODES),
    keyDigests: await parseKeys(env.GATEWAY_KEYS),
    nodeApiKey: parseNodeApiKey(env.NODE_API_KEY),
    connectTimeoutMs: parseNumber(env, "CONNECT_TIMEOUT_MS"),
    maxBodyBytes: parseNumber(env, "MAX_BODY_BYTES"),
    routingPrefixBytes: parseNumber(env, "ROUTING_PREFIX_BYTES"),
  });
}

/** The message names the variable and the rule, never the value: clients may see it. */
function refuse(variable: keyof GatewayEnv, reason: string): never {
  throw new GatewayError("bad_gateway_configuration", `The gateway's variable ${variable} is not valid: ${reason}.`);
}

/** GATEWAY_KEYS: a comma list or a JSON list of keys, each in the clear or as `sha256:` and 64 hexadecimal digits. */
async function parseKeys(value: unknown): Promise<readonly Uint8Array[]> {
  const keys = keyEntries(value);
  if (keys.length === 0) refuse("GATEWAY_KEYS", "it names no key");
  if (keys.length > MAX_KEYS) refuse("GATEWAY_KEYS", `it names more than ${MAX_KEYS} keys`);
  return Promise.all(keys.map((key, index) => parseKey(key, index + 1)));
}

function keyEntries(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  if (value === undefined || value === null || value === "") refuse("GATEWAY_KEYS", "it is not set");
  if (typeof value !== "string") refuse("GATEWAY_KEYS", "it is neither text nor a list");
  if (!value.trimStart().startsWith("[")) {
    return value
      .split(",")
      .map((key) => key.trim())
      .filter((key) => key !== "");
  }
  try {
    return JSON.parse(value);
  } catch {
    refuse("GATEWAY_KEYS", "it starts like a JSON list but is not JSON");
  }
}

async function parseKey(key: unknown, position: number): Promise<Uint8Array> {
  if (typeof key !== "string") refuse("GATEWAY_KEYS", `entry ${position} is not text`);
  if (DIGEST_PATTERN.test(key)) {
    const hex = key.slice("sha256:".length);
    return Uint8Array.from({ length: 32 }, (_, byte) => Number.parseInt(hex.slice(2 * byte, 2 * byte + 2), 16));
  }
  if (key.startsWith("sha256:")) refuse("GATEWAY_KEYS", `entry ${position} has no 64 hexadecimal digits after sha256:`);
  if (key.length < MIN_KEY_CHARS) {
    refuse("GATEWAY_KEYS", `entry ${position} is shorter than ${MIN_KEY_CHARS} characters`);
  }
  if (!KEY_PATTERN.test(key)) refuse("GATEWAY_KEYS", `entry ${position} has a character that no header can carry`);
  return keyDigest(key);
}

function parseNodeApiKey(value: unknown): string | null {
  if (value === undefined || value === null || value === "") return null;
  if (typeof value !== "string" || !KEY_PATTERN.test(value)) {
    refuse("NODE_API_KEY", "it is not printable ASCII without spaces");
  }
  return value;
}

function parseNumber(env: GatewayEnv, variable: keyof typeof NUMBERS): number {
  const [fallback, lowest, highest] = NUMBERS[variable];
  const value = env[variable];
  if (value === undefined || value === null || value === "") return fallback;
  const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof number !== "number" || !Number.isInteger(number) || number < lowest || number > highest) {
    refuse(variable, `it is not a whole number from ${lowest} to ${highest}`);
  }
  return number;
}
