// @ts-check
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** What results depend on: two results of one build name the same trees. */
const SOURCES = ["src", "native", "assembly", "CMakeLists.txt"];

/** @returns {string} the sources' commit, with "+changes" where the checkout has others */
export function revision() {
  const cwd = fileURLToPath(new URL("../../", import.meta.url));
  /** @param {string[]} args */
  const git = (...args) => execFileSync("git", [...args, "--", ...SOURCES], { cwd, encoding: "utf8" }).trim();
  const commit = git("log", "-1", "--format=%h");
  return git("status", "--porcelain") === "" ? commit : `${commit}+changes`;
}
