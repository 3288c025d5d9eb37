/**
 * Regenerates test/fixtures/tokenizer: the corpus and the ids that llama.cpp gives for it. Not part of the build; run it after a
 * change to the corpus or to compare with a newer llama.cpp:
 *
 *   npm i --omit=optional --prefix DIR node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1
 *   node scripts/make-tokenizer-corpus.mjs DIR [MODELS_DIR]
 *
 * MODELS_DIR holds the catalogue's model files (default: the model cache). A pre-tokenizer for which no model is at hand is
 * exercised with another model's vocabulary: a file with that vocabulary alone, and the other name in `tokenizer.ggml.pre`.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gguf, serializeGgufMetadata } from "@huggingface/gguf";
import { corpusTexts } from "../test/fixtures/tokenizer/corpus-texts.mjs";

const PRE_KEY = "tokenizer.ggml.pre";
const VOCABULARIES = [
  { model: "smollm2-135m", pres: ["smollm", "qwen2", "llama-bpe", "gpt-2", "default"] },
  { model: "qwen2.5-coder-0.5b", pres: ["qwen2", "smollm", "llama-bpe", "gpt-2", "default"] },
];
const OUTPUT = fileURLToPath(new URL("../test/fixtures/tokenizer/", import.meta.url));

const [llamaDir, modelsDir = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "wavekv/models")] =
  process.argv.slice(2);
if (llamaDir === undefined) throw new Error("usage: make-tokenizer-corpus.mjs DIR_OF_NODE_LLAMA_CPP [MODELS_DIR]");

const texts = corpusTexts();
const corpusHash = createHash("sha256").update(JSON.stringify(texts)).digest("hex");
write("corpus.json", { texts });
const llama = await startLlama(llamaDir);
const scratch = mkdtempSync(join(tmpdir(), "tokenizer-corpus-"));
try {
  for (const vocabulary of VOCABULARIES) await writeExpected(vocabulary);
} finally {
  rmSync(scratch, { recursive: true });
}
await llama.dispose();

async function startLlama(dir) {
  const entry = createRequire(join(resolve(dir), "package.json")).resolve("node-llama-cpp");
  const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href);
  return getLlama({ build: "never", skipDownload: true, gpu: false, logLevel: LlamaLogLevel.disabled });
}

/** One file per vocabulary: its ids with its own pre-tokenizer, and for the others what differs from those. */
async function writeExpected({ model, pres }) {
  const { typedMetadata } = await gguf(join(modelsDir, `${model}.gguf`), { allowLocalFile: true, typedMetadata: true });
  const expected = { model, corpusHash, pres: {} };
  let native = null;
  for (const pre of pres) {
    const loaded = await loadVocabulary(typedMetadata, pre);
    const cases = texts.map((text) => caseOf(loaded, text));
    native ??= cases;
    expected.pres[pre] = cases.map((ids, index) => (cases !== native && ids === native[index] ? "" : ids));
    if (cases === native)
      expected.endTokenIds = endTokensOf(loaded, typedMetadata["tokenizer.ggml.tokens"].value.length);
    await loaded.dispose();
  }
  write(`${model}.json`, expected);
}

function loadVocabulary(typedMetadata, pre) {
  const path = join(scratch, `${pre}.gguf`);
  const changed = { ...typedMetadata, tensor_count: { ...typedMetadata.tensor_count, value: 0n } };
  changed[PRE_KEY] = { ...typedMetadata[PRE_KEY], value: pre };
  writeFileSync(path, serializeGgufMetadata(changed));
  return llama.loadModel({ modelPath: path, vocabOnly: true });
}

/**
 * Ids in base 36, separated by spaces: `plain` where both agree, else `plain|parsed` (special tokens not parsed, and parsed).
 * The native call is made, not the wrapper's `tokenize`, which treats an empty text and leading spaces on its own.
 */
function caseOf(loaded, text) {
  const [plain, parsed] = [false, true].map((parseSpecial) =>
    Array.from(loaded._model.tokenize(text, parseSpecial), (id) => id.toString(36)).join(" "),
  );
  return plain === parsed ? `${plain};` : `${plain}|${parsed};`;
}

function endTokensOf(loaded, numTokens) {
  return Array.from({ length: numTokens }, (_, id) => id).filter((id) => loaded.isEogToken(id));
}

function write(name, content) {
  writeFileSync(join(OUTPUT, name), `${JSON.stringify(content, null, 0)}\n`);
}
