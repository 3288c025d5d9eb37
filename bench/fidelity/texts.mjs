// @ts-check
// Long real texts that every checkout has: files of npm packages, pinned by the lock file, in a fixed order.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const MODULES = new URL("../../node_modules/", import.meta.url);

/** @type {Readonly<Record<string, readonly string[]>>} files of each text; a run takes as many tokens as it asks for */
const TEXTS = {
  prose: ["commander/Readme.md", "tar/README.md", "semver/README.md", "minipass/README.md", "ws/README.md"],
  code: ["zod/v4/core/schemas.js"],
  manual: ["pino/docs/api.md", "pino/docs/transports.md", "undici/README.md", "prom-client/README.md"],
};

/** @param {string} name */
export function readText(name) {
  const files = TEXTS[name];
  if (!files) throw new Error(`there is no text "${name}"; there are ${Object.keys(TEXTS).join(", ")}`);
  return files.map((file) => readFileSync(new URL(file, MODULES), "utf8")).join("\n");
}

/**
 * Names a run of token ids, so that two runs can be seen to have used the same.
 *
 * @param {Int32Array} tokens
 */
export function hashTokens(tokens) {
  const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  return createHash("sha256").update(bytes).digest("hex").slice(0, 12);
}
