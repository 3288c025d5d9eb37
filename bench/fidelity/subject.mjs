// @ts-check
// A model on one prompt: prefilled once, then measured with any settings.
import { compareText, findNeedles, referenceText } from "./evaluate.mjs";
import { dumpTokens, loadTokens, prefill } from "./kv-dump.mjs";
import { MAX_NEEDLES, makeNeedles, plantNeedles } from "./needles.mjs";
import { openModel } from "./open-model.mjs";
import { hashTokens, readText } from "./texts.mjs";

/** @typedef {Partial<import("../../dist/engine/options.js").WaveSettings>} Settings */
/** @typedef {import("./kv-dump.mjs").LoadedModel} LoadedModel */

export const POSITIONS = 128;
/** Settings that a runner takes between steps; any other needs the index built anew. */
const READ_SETTINGS = new Set(["estimationBudget", "minClusters", "varianceTerm", "ranking", "retrievalBudget"]);

/** Wave against full attention on one prompt. */
export class Subject {
  /** @type {{ key: string, model: LoadedModel, lease: import("./kv-dump.mjs").KvLease } | undefined} */
  #open;

  /**
   * Prefills the prompt and takes the reference from full attention.
   *
   * @param {string} path of the model file
   * @param {import("./needles.mjs").Tokenizer} tokenizer
   * @param {{ text: string, promptTokens: number }} prompt
   * @param {(done: number) => void} [onProgress]
   */
  constructor(path, tokenizer, { text, promptTokens }, onProgress) {
    this.path = path;
    this.tokenizer = tokenizer;
    this.text = text;
    this.promptTokens = promptTokens;
    this.needles = makeNeedles(MAX_NEEDLES, promptTokens);
    const tokens = plantNeedles(tokenizer, readText(text), this.needles, promptTokens);
    if (tokens.length < promptTokens + POSITIONS)
      throw new Error(`the text "${text}" has only ${tokens.length} tokens`);
    this.tokens = tokens.slice(0, promptTokens + POSITIONS);
    this.hash = hashTokens(this.tokens);
    const { model, lease } = this.#use({ queryMetric: 0.5, kvType: "f16" }, (opened, emptyLease) => {
      this.chunks = dumpTokens(
        emptyLease,
        prefill(opened, emptyLease, this.tokens.subarray(0, promptTokens), onProgress),
      );
    });
    this.reference = referenceText(model, lease.sequence, this.tokens.subarray(promptTokens));
    this.fullNeedles = findNeedles(model, lease.sequence, tokenizer, this.needles, null);
  }

  /**
   * @param {Settings} settings over the defaults
   * @param {readonly number[]} budgets
   * @param {boolean} withNeedles
   */
  measure(settings, budgets, withNeedles) {
    const { model, lease } = this.#use(settings, (opened, emptyLease) =>
      loadTokens(opened, emptyLease, this.chunks ?? []),
    );
    model.native.setWaveOptions({ ...model.wave, ...settings });
    const results = compareText(
      model,
      lease.sequence,
      this.tokens.subarray(this.promptTokens),
      this.reference,
      budgets,
    );
    return results.map((result) => ({
      text: this.text,
      promptTokens: this.promptTokens,
      ...result,
      ...(withNeedles && findNeedles(model, lease.sequence, this.tokenizer, this.needles, result.budget)),
    }));
  }

  close() {
    this.#open?.model.close();
    this.#open = undefined;
  }

  /**
   * The runner with this index, opened anew where the last one's differs.
   *
   * @param {Settings} settings
   * @param {(model: LoadedModel, lease: import("./kv-dump.mjs").KvLease) => void} fill
   */
  #use(settings, fill) {
    const index = Object.fromEntries(Object.entries(settings).filter(([name]) => !READ_SETTINGS.has(name)));
    const key = JSON.stringify(index);
    if (this.#open?.key === key) return this.#open;
    this.close();
    const contextTokens = this.promptTokens + 2 * POSITIONS;
    const model = openModel(this.path, { contextTokens, maxParallel: MAX_NEEDLES }, index);
    const lease = model.kvCache.tryLease(contextTokens);
    if (!lease) throw new Error("the KV cache has no room for the prompt");
    fill(model, lease);
    this.#open = { key, model, lease };
    return this.#open;
  }
}
