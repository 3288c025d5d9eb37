import { GatewayError } from "./errors.js";

/** One wavekv node behind the gateway. */
export interface GatewayNode {
  /** What clients see in `x-wavekv-node`: never an address. */
  readonly name: string;
  /** Base URL without a trailing slash. It is also the node's identity for hashing, so the order of NODES does not matter. */
  readonly url: string;
  /** Share of the keys relative to the other nodes. */
  readonly weight: number;
}

const MAX_NODES = 64;
const MAX_WEIGHT = 1000;
const NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,31}$/;
const FIELDS = new Set(["url", "weight", "name"]);

/** A refusal of NODES. The message names the entry (counted from 1) and the rule, never the value: clients may see it. */
function refuse(reason: string): never {
  throw new GatewayError("bad_gateway_configuration", `The gateway's variable NODES is not valid: ${reason}.`);
}

/**
 * Reads NODES: a JSON list of URLs or of `{"url", "weight"?, "name"?}` (as text, or as a list binding), or a comma list of
 * `URL` and `URL*WEIGHT`. Throws GatewayError `bad_gateway_configuration`.
 */
export function parseNodes(value: unknown): readonly GatewayNode[] {
  const entries = listEntries(value);
  if (entries.length === 0) refuse("it names no node");
  if (entries.length > MAX_NODES) refuse(`it names more than ${MAX_NODES} nodes`);
  const nodes = entries.map((entry, index) => parseEntry(entry, index + 1));
  if (new Set(nodes.map((node) => node.url)).size < nodes.length) refuse("two entries have the same url");
  if (new Set(nodes.map((node) => node.name)).size < nodes.length) refuse("two entries have the same name");
  return nodes;
}

function listEntries(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  if (value === undefined || value === null || value === "") refuse("it is not set");
  if (typeof value !== "string") refuse("it is neither text nor a list");
  if (!value.trimStart().startsWith("[")) {
    return value
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "")
      .map(splitWeight);
  }
  try {
    return JSON.parse(value);
  } catch {
    refuse("it starts like a JSON list but is not JSON");
  }
}

/** `URL*WEIGHT` of the comma list. */
function splitWeight(part: string): unknown {
  const star = part.lastIndexOf("*");
  return star < 0 ? { url: part } : { url: part.slice(0, star), weight: Number(part.slice(star + 1) || Number.NaN) };
}

function parseEntry(entry: unknown, position: number): GatewayNode {
  const fields: unknown = typeof entry === "string" ? { url: entry } : entry;
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
    refuse(`entry ${position} is neither a url nor an object`);
  }
  if (Object.keys(fields).some((field) => !FIELDS.has(field))) {
    refuse(`entry ${position} has a field other than url, weight and name`);
  }
  const { url, weight = 1, name = `node-${position}` } = fields as Record<string, unknown>;
  if (typeof weight !== "number" || !(weight > 0 && weight <= MAX_WEIGHT)) {
    refuse(`the weight of entry ${position} is not a number above 0 and up to ${MAX_WEIGHT}`);
  }
  if (typeof name !== "string" || !NAME_PATTERN.test(name)) {
    refuse(`the name of entry ${position} is not 1 to 32 characters of a-z, 0-9, dot, dash and underscore`);
  }
  return { name, url: baseUrl(url, position), weight };
}

function baseUrl(value: unknown, position: number): string {
  if (typeof value !== "string" || !URL.canParse(value)) refuse(`the url of entry ${position} is not an absolute URL`);
  const url = new URL(value);
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    refuse(`the url of entry ${position} is neither http nor https`);
  }
  if (url.username !== "" || url.password !== "") refuse(`the url of entry ${position} carries credentials`);
  if (url.search !== "" || url.hash !== "") refuse(`the url of entry ${position} has a query or a fragment`);
  return url.href.replace(/\/+$/, "");
}
