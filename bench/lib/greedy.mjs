// @ts-check
import { startEngine } from "../../dist/engine/engine-client.js";
import { engineOptions } from "./engine-options.mjs";

const GREEDY = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 };

/**
 * Gives each plan the greedy completions of its prompt, with full and with wave attention, by the engine as the server
 * runs it, one request after the other.
 *
 * @template {{ prompt: number[] }} Plan
 * @param {import("./worker-process.mjs").LoadOptions} model
 * @param {readonly Plan[]} plans
 * @param {number} numTokens of each completion; end tokens do not end it
 * @returns {Promise<(Plan & { completions: Record<"full" | "wave", number[]> })[]>}
 */
export async function withCompletions(model, plans, numTokens) {
  const engine = await startEngine(engineOptions(model));
  try {
    const completed = [];
    for (const [index, plan] of plans.entries()) {
      /** @param {"full" | "wave"} mode */
      const complete = async (mode) => {
        const events = engine.generate({
          requestId: `prompt-${index}-${mode}`,
          promptTokens: Int32Array.from(plan.prompt),
          maxTokens: numTokens,
          stopTokens: [],
          sampling: GREEDY,
          attention: { mode, retrievalBudget: null },
        });
        /** @type {number[]} */
        const completion = [];
        for await (const event of events) if (event.type === "token") completion.push(event.tokenId);
        return completion;
      };
      completed.push({ ...plan, completions: { full: await complete("full"), wave: await complete("wave") } });
    }
    return completed;
  } finally {
    await engine.close();
  }
}
