// @ts-check
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/**
 * @typedef {object} LoadOptions
 * @property {string} modelPath
 * @property {number} numThreads
 * @property {number} contextTokens
 * @property {number} [ropeScale] factor by which positions are stretched, linearly; 1: as the file says
 *
 * @typedef {object} PrefillResult
 * @property {number} ms
 * @property {number | null} markMs the time of the first `markTokens`
 * @property {number} [indexBuildMs] the part of ms that built the index; wavekv's
 * @property {string} [date] when it was timed, where it comes from a saved state
 * @property {number} topToken the likeliest next token
 *
 * @typedef {object} DecodeResult
 * @property {number[]} ms of each token; sampling is not in it
 * @property {number[]} topTokens after each token, the likeliest next one
 * @property {Record<string, number>} [phaseMs] by phase, of all tokens; wavekv's
 */

/** A model in a process of its own, driven by JSON lines; the same operations for wavekv and for llama.cpp. */
export class WorkerProcess {
  /** @param {string} scriptPath @param {NodeJS.ProcessEnv} [env] */
  constructor(scriptPath, env = process.env) {
    this.child = spawn(process.execPath, [scriptPath], { stdio: ["pipe", "pipe", "inherit"], env });
    this.exited = once(this.child, "exit");
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** @param {LoadOptions} options @returns {Promise<Record<string, any>>} facts about the engine */
  load(options) {
    return this.call({ op: "load", ...options });
  }

  /** Empties the sequence. */
  reset() {
    return this.call({ op: "reset" });
  }

  /** @param {readonly number[]} tokens @param {{ markTokens?: number, statePath?: string }} [options] @returns {Promise<PrefillResult>} */
  prefill(tokens, options = {}) {
    return this.call({ op: "prefill", tokens, ...options });
  }

  /** Makes ready to decode from the prompt, with each kind of attention on its own. */
  fork() {
    return this.call({ op: "fork" });
  }

  /**
   * Decodes the given tokens one at a time.
   *
   * @param {readonly number[]} tokens
   * @param {"full" | "wave"} attention llama.cpp knows only full
   * @returns {Promise<DecodeResult>}
   */
  decode(tokens, attention) {
    return this.call({ op: "decode", tokens, attention });
  }

  /**
   * From an empty sequence: prefills `numPrefill` tokens and decodes the others, writing the logits after each decoded
   * token to a file, f32 [numTokens - numPrefill, vocabSize].
   *
   * @param {readonly number[]} tokens @param {number} numPrefill @param {string} outPath
   */
  logits(tokens, numPrefill, outPath) {
    return this.call({ op: "logits", tokens, numPrefill, outPath });
  }

  /** @param {{ op: string } & Record<string, any>} request @returns {Promise<any>} */
  async call(request) {
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
    const value = await this.nextAnswer(request.op);
    const answer = JSON.parse(value);
    if (answer.error) throw new Error(`${request.op}: ${answer.error}`);
    return answer;
  }

  /** What a library prints on stdout goes to stderr. @param {string} op @returns {Promise<string>} */
  async nextAnswer(op) {
    for (;;) {
      const { value, done } = await this.lines.next();
      if (done) throw new Error(`the worker ended during ${op} (status ${this.child.exitCode})`);
      if (value.startsWith("{")) return value;
      process.stderr.write(`${value}\n`);
    }
  }

  async close() {
    this.child.stdin.end();
    await this.exited;
  }
}
