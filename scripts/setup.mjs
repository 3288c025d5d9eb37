// @ts-check
// Everything that must be there before wavekv runs; shared by `npm start` and `npm test`. Plain Node: it runs before
// anything is installed. Each step says whether it is needed, so that a second run does nothing twice.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { installedMatchesLock, lockedVersion, lockHash } from "./lock-file.mjs";
import { fetchModel } from "./model-step.mjs";
import { runCommand } from "./run-command.mjs";
import { hashInputs, isStamped, writeStamp } from "./stamps.mjs";
import { SetUpError, step } from "./step.mjs";
import { installSystemPackages, missingBuildTools, tail } from "./system-packages.mjs";

const MIN_NODE = [20, 19];
const LOCK_STAMP = "node_modules/.wavekv-lock-hash";
const BIN = "node_modules/.bin";

/** Throws where this Node is too old, before a newer feature fails in a way that nobody understands. */
export function checkNodeVersion(version = process.versions.node) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [minMajor = 0, minMinor = 0] = MIN_NODE;
  if (major > minMajor || (major === minMajor && minor >= minMinor)) return;
  throw new SetUpError(`wavekv needs Node ${MIN_NODE.join(".")} or later; this is ${version}.`);
}

/**
 * Installs, builds and fetches what is missing. Throws SetUpError with what to do where it cannot.
 *
 * @param {{ models: (string | undefined)[] }} options models to have in the cache; undefined is the default model
 */
export async function setUp({ models }) {
  checkNodeVersion();
  await installNpmPackages();
  await buildWasm();
  await buildNative();
  await buildTypeScript();
  for (const model of models) await fetchModel(model);
}

/**
 * @param {string} what
 * @param {string} file
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
async function mustRun(what, file, args, env) {
  const { status, output } = await runCommand(file, args, { env });
  if (status !== 0) throw new SetUpError(`${what} failed (${[file, ...args].join(" ")}):\n${tail(output)}`);
}

async function installNpmPackages() {
  const hash = lockHash();
  if (existsSync(LOCK_STAMP) && readFileSync(LOCK_STAMP, "utf8") === hash) return;
  // Somebody may have run npm by hand; what is right needs no second installation.
  if (!installedMatchesLock()) {
    await step("Installing npm packages", () =>
      mustRun("npm ci", "npm", ["ci", "--include=dev", "--no-audit", "--no-fund"]),
    );
  }
  writeFileSync(LOCK_STAMP, hash);
}

async function buildWasm() {
  const hash = hashInputs(["assembly", "asconfig.json"], { facts: [lockedVersion("assemblyscript")] });
  const outputs = ["build/wasm/control-plane.wasm", "build/wasm/control-plane.debug.wasm"];
  if (isStamped("wasm", hash) && outputs.every((path) => existsSync(path))) return;
  await step("Building the control plane (WASM)", async () => {
    for (const target of ["debug", "release"]) {
      await mustRun("asc", `${BIN}/asc`, ["assembly/index.ts", "--target", target]);
    }
  });
  writeStamp("wasm", hash);
}

async function buildNative() {
  const facts = ["node-addon-api", "cmake-js"].map(lockedVersion);
  const hash = hashInputs(["native", "CMakeLists.txt", "cmake"], { facts });
  if (isStamped("native", hash) && hasAddon()) return;
  const packages = missingBuildTools();
  if (packages.length > 0) {
    await step(`Installing ${packages.join(", ")}`, () => installSystemPackages(packages, "Building the native addon"));
  }
  const jobs = availableParallelism();
  await step(`Building the native addon (${jobs} jobs)`, async () => {
    dropForeignBuild();
    const env = { ...process.env, CMAKE_BUILD_PARALLEL_LEVEL: String(jobs) };
    await mustRun("cmake-js", `${BIN}/cmake-js`, ["build", "--directory", ".", "--out", "build/native"], env);
    if (!hasAddon()) throw new SetUpError("the build ended without an addon in build/native/Release");
  });
  writeStamp("native", hash);
}

function hasAddon() {
  const directory = "build/native/Release";
  return existsSync(directory) && readdirSync(directory).some((name) => name.endsWith(".node"));
}

/** CMake refuses a build folder that was made in another place, as after the checkout was moved. */
function dropForeignBuild() {
  const cache = "build/native/CMakeCache.txt";
  if (!existsSync(cache)) return;
  if (!readFileSync(cache, "utf8").includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${process.cwd()}\n`)) {
    rmSync("build/native", { recursive: true, force: true });
  }
}

async function buildTypeScript() {
  const facts = ["typescript", "@types/node"].map(lockedVersion);
  const hash = hashInputs(["src", "tsconfig.json"], { except: ["src/gateway/"], facts: [...facts, lockHash()] });
  if (isStamped("typescript", hash) && existsSync("dist/main.js")) return;
  // Forced: the compiler's own record does not notice a dist/ that was deleted.
  await step("Compiling TypeScript", () => mustRun("tsc", `${BIN}/tsc`, ["-b", "--force"]));
  writeStamp("typescript", hash);
}
