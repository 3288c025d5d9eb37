import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { passages } from "../../bench/lib/corpus.mjs";
import { argmax, klDivergence, logSoftmax } from "../../bench/lib/distributions.mjs";
import { startReference, startWavekv } from "../../bench/lib/engines.mjs";
import { mean, median } from "../../bench/lib/statistics.mjs";
import { markdownTable } from "../../bench/lib/table.mjs";
import type { WorkerProcess } from "../../bench/lib/worker-process.mjs";
import { buildFloatForward, floatForward, readFloats } from "../../bench/reference/float-forward.mjs";
import { readGgufMetadata } from "../../src/model/gguf-metadata.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import { modelPath } from "../support/models.js";

// Next-token distributions with full attention against a float32 forward pass of the same weights, beside llama.cpp's: as
// far from it as quantised inputs make them, and no further.

const PREFILL_TOKENS = 128;
/** Models and positions of each passage. The smaller model is more easily thrown: fewer positions would be a lottery. */
const MODELS = [
  ["smollm2-135m", 256],
  ["qwen2.5-coder-0.5b", 64],
] as const;
const MAX_KL_RATIO = 1.2;
const MAX_TOP1_LOSS = 0.01;

/** One engine's distance from the float forward pass, over all positions. */
class Distance {
  readonly kl: number[] = [];
  private agreeing = 0;

  /** Both: f32 [positions, vocabSize]. */
  add(reference: Float32Array, logits: Float32Array, vocabSize: number): void {
    expect(logits).toHaveLength(reference.length);
    for (let at = 0; at < reference.length; at += vocabSize) {
      const wanted = logSoftmax(reference.subarray(at, at + vocabSize));
      const got = logSoftmax(logits.subarray(at, at + vocabSize));
      this.kl.push(klDivergence(wanted, got));
      if (argmax(wanted) === argmax(got)) this.agreeing++;
    }
  }

  /** Share of positions whose likeliest token is the reference's. */
  get top1(): number {
    return this.agreeing / this.kl.length;
  }

  row(name: string): string[] {
    const shown = [mean(this.kl), median(this.kl), Math.max(...this.kl)].map((value) => value.toExponential(2));
    return [name, ...shown, `${(100 * this.top1).toFixed(1)} %`];
  }
}

async function measure(path: string, numPositions: number, folder: string) {
  const tokenizer = createTokenizer(readGgufMetadata(path));
  const [wavekv, llama] = [startWavekv(), await startReference()];
  const distances = { wavekv: new Distance(), llama: new Distance() };
  const contextTokens = PREFILL_TOKENS + numPositions;
  try {
    // One thread each, side by side: two of llama.cpp's spin on each other where anything else runs, and cost minutes.
    await Promise.all([wavekv, llama].map((worker) => worker.load({ modelPath: path, numThreads: 1, contextTokens })));
    for (const { text } of passages()) {
      const encoded = tokenizer.encode(text, { addSpecial: true, parseSpecial: false });
      const tokens = [...encoded.subarray(0, contextTokens)];
      expect(tokens).toHaveLength(contextTokens);
      const reference = await floatForward(path, tokens, PREFILL_TOKENS);
      const logits = async (worker: WorkerProcess, outPath: string) => {
        await worker.reset();
        await worker.logits(tokens, PREFILL_TOKENS, outPath);
        return readFloats(outPath);
      };
      const [ours, theirs] = await Promise.all([
        logits(wavekv, join(folder, "wavekv")),
        logits(llama, join(folder, "llama")),
      ]);
      distances.wavekv.add(reference, ours, tokenizer.vocabSize);
      distances.llama.add(reference, theirs, tokenizer.vocabSize);
    }
  } finally {
    await Promise.all([wavekv.close(), llama.close()]);
  }
  return distances;
}

describe("faithful to the model file", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "wavekv-faithful-"));
    await buildFloatForward();
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each(MODELS)("%s is as close as llama.cpp", async (model, numPositions) => {
    const { wavekv, llama } = await measure(modelPath(model), numPositions, folder);
    const header = [`${model}, ${wavekv.kl.length} positions`, "mean KL", "median KL", "max KL", "top-1"];
    const ratio = mean(wavekv.kl) / mean(llama.kl);
    console.log(
      `${markdownTable(header, [wavekv.row("wavekv"), llama.row("llama.cpp")])}\nmean KL ratio ${ratio.toFixed(3)}`,
    );
    expect(wavekv.kl.length).toBeGreaterThanOrEqual(256);
    expect(ratio).toBeLessThanOrEqual(MAX_KL_RATIO);
    expect(wavekv.top1).toBeGreaterThanOrEqual(llama.top1 - MAX_TOP1_LOSS);
  });
});
