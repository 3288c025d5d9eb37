// @ts-check
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runCommand } from "../../scripts/run-command.mjs";

const BUILD = fileURLToPath(new URL("../../build/native", import.meta.url));

/** Builds native/reference/float_forward.cpp in the addon's build folder, which must have been configured. */
export async function buildFloatForward() {
  await mustRun("cmake", ["--build", BUILD, "--target", "float_forward"]);
}

/**
 * The logits that the model file means, by a plain float32 forward pass over the dequantised weights.
 *
 * @param {string} modelPath
 * @param {readonly number[]} tokens
 * @param {number} first
 * @returns {Promise<Float32Array>} [tokens.length - first, vocabSize]: after tokens first, first + 1, ...
 */
export async function floatForward(modelPath, tokens, first) {
  const folder = await mkdtemp(join(tmpdir(), "wavekv-reference-"));
  try {
    const tokensPath = join(folder, "tokens");
    const outPath = join(folder, "logits");
    await writeFile(tokensPath, Int32Array.from(tokens));
    await mustRun(join(BUILD, "reference/float_forward"), [modelPath, tokensPath, String(first), outPath]);
    return await readFloats(outPath);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** @param {string} path @returns {Promise<Float32Array>} */
export async function readFloats(path) {
  const bytes = await readFile(path);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** @param {string} file @param {string[]} args */
async function mustRun(file, args) {
  const { status, output } = await runCommand(file, args, { timeoutMs: 10 * 60_000 });
  if (status !== 0) throw new Error(`${file} ${args.join(" ")} failed with status ${status}:\n${output.trimEnd()}`);
}
