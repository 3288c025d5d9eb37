// @ts-check
// What the system must have: installed by apt where that is possible without a question, else listed.
import { hasProgram, runCommand } from "./run-command.mjs";
import { SetUpError } from "./step.mjs";

/** Any one of the programs will do. */
const TOOLS = [
  { what: "a C++17 compiler", programs: ["c++", "g++", "clang++"], apt: "g++" },
  { what: "CMake 3.18 or later", programs: ["cmake"], apt: "cmake" },
  { what: "make", programs: ["make"], apt: "make" },
];

/** Debian packages of the build tools that are missing. */
export function missingBuildTools() {
  return TOOLS.filter((tool) => !tool.programs.some(hasProgram)).map((tool) => tool.apt);
}

/**
 * @param {string[]} packages Debian package names
 * @param {string} purpose said in the error
 */
export async function installSystemPackages(packages, purpose) {
  const prefix = await rootPrefix();
  const byHand = `sudo apt-get install ${packages.join(" ")}`;
  if (prefix === null) {
    throw new SetUpError(
      `${purpose} needs packages that are not installed. Install them, then start again:\n  ${byHand}`,
    );
  }
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  /** @param {string[]} args */
  const apt = (args) => {
    const [file, ...rest] = [...prefix, "apt-get", "-y", "-q", ...args];
    return runCommand(/** @type {string} */ (file), rest, { env });
  };
  const install = ["install", "--no-install-recommends", ...packages];
  // A fresh image has no package lists; a list that is there may be old, but saves half a minute.
  if ((await apt(install)).status === 0) return;
  const update = await apt(["update"]);
  const { status, output } = await apt(install);
  if (status === 0) return;
  const text = tail(`${update.status === 0 ? "" : update.output}${output}`);
  throw new SetUpError(`apt-get could not install ${packages.join(" ")}:\n${text}\nInstall by hand: ${byHand}`);
}

/** How to run apt-get as root: directly, by sudo without a password, or not at all (null). */
async function rootPrefix() {
  if (!hasProgram("apt-get")) return null;
  if (process.getuid?.() === 0) return [];
  if (!hasProgram("sudo")) return null;
  return (await runCommand("sudo", ["-n", "true"])).status === 0 ? ["sudo", "-n"] : null;
}

/** @param {string} output @returns {string} the last lines, where the errors are */
export function tail(output, numLines = 40) {
  return output.trimEnd().split("\n").slice(-numLines).join("\n");
}
