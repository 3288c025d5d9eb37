// @ts-check
// The texts that are measured: read-me files and sources of npm packages at the versions of package-lock.json, so that
// they are the same everywhere, and pages of our own.
import { readFileSync } from "node:fs";

const ROOT = new URL("../../", import.meta.url);

/** Prose with examples, and code; long enough for 32K tokens of any tokenizer here. */
const LONG_TEXT = [
  "node_modules/commander/Readme.md",
  "node_modules/openai/README.md",
  "node_modules/commander/lib/command.js",
  "node_modules/fast-check/README.md",
  "node_modules/undici/README.md",
  "node_modules/ws/README.md",
  "node_modules/zod/README.md",
];

/** One passage of each is measured for fidelity. */
const PASSAGES = [
  "node_modules/commander/Readme.md",
  "node_modules/commander/lib/command.js",
  "node_modules/undici/README.md",
  "node_modules/ws/lib/websocket.js",
  "node_modules/fast-check/README.md",
  "CONTRIBUTING.md",
];

/** @param {string} path */
function read(path) {
  return readFileSync(new URL(path, ROOT), "utf8");
}

/** @returns {string} about 180 KB of real text */
export function longText() {
  return LONG_TEXT.map(read).join("\n\n");
}

/** @returns {{ name: string, text: string }[]} texts of at least 400 tokens each */
export function passages() {
  return PASSAGES.map((name) => ({ name, text: read(name) }));
}
