// @ts-check
// The part of a code base that fits into a prompt: whole files, those near the root first.
import { readdir, readFile, stat } from "node:fs/promises";
import { extname, join, relative } from "node:path";

const SOURCE_EXTENSIONS = new Set(
  ".c .cc .cpp .cs .cu .go .h .hpp .java .js .jsx .kt .lua .md .mjs .php .py .rb .rs .scala .sh .sql .swift .toml .ts .tsx .yaml .yml .zig".split(
    " ",
  ),
);
const SKIPPED_FOLDERS = new Set(["node_modules", "dist", "build", "target", "vendor", "coverage", "__pycache__"]);
/** Larger files are generated, or too long to be of use here. */
const MAX_FILE_BYTES = 512 * 1024;

/**
 * @typedef {object} Selection
 * @property {string} text the files that were taken, each under its path
 * @property {number} numTokens of `text`
 * @property {string[]} taken paths relative to the folder
 * @property {string[]} leftOut paths of the files that the budget has no room for
 */

/**
 * @param {string} folder
 * @param {number} budget tokens that the text may have
 * @param {(text: string) => Promise<number>} countTokens
 * @returns {Promise<Selection>}
 */
export async function selectSources(folder, budget, countTokens) {
  /** @type {{ path: string, text: string }[]} */
  const taken = [];
  const leftOut = [];
  let sum = 0;
  for (const path of await findSources(folder)) {
    const text = `File ${path}:\n\n${await readFile(join(folder, path), "utf8")}\n\n`;
    const numTokens = await countTokens(text);
    if (sum + numTokens > budget) {
      leftOut.push(path);
    } else {
      taken.push({ path, text });
      sum += numTokens;
    }
  }
  const joined = () => taken.map((file) => file.text).join("");
  // A text need not have as many tokens as its parts: where they meet, they may be split differently.
  let numTokens = await countTokens(joined());
  for (let last = taken.at(-1); last && numTokens > budget; last = taken.at(-1)) {
    leftOut.push(last.path);
    taken.pop();
    numTokens = await countTokens(joined());
  }
  return { text: joined(), numTokens, taken: taken.map(({ path }) => path), leftOut };
}

/** Source files under a folder, breadth first, each level by name. Links are not followed. @param {string} folder */
async function findSources(folder) {
  const files = [];
  const folders = [folder];
  for (let current = folders.shift(); current !== undefined; current = folders.shift()) {
    const entries = await readdir(current, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(current, entry.name);
      if (entry.isDirectory()) {
        if (!entry.name.startsWith(".") && !SKIPPED_FOLDERS.has(entry.name)) folders.push(path);
      } else if (entry.isFile() && SOURCE_EXTENSIONS.has(extname(entry.name))) {
        if ((await stat(path)).size <= MAX_FILE_BYTES) files.push(relative(folder, path));
      }
    }
  }
  return files;
}
