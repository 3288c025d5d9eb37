// @ts-check
import { startEngine } from "../../dist/engine/engine-client.js";
import { engineOptions } from "./engine-options.mjs";

const GREEDY = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 };

/**
 * Gives each plan the greedy completion of its prompt with full attention, by the engine as the server runs it, one
 * request after the other.
 *
 * @template {{ prompt: number[] }} Plan
 * @param {{ modelPath: string, numThreads: number, contextTokens: number }} model
 * @param {readonly Plan[]} plans
 * @param {number} numTokens of each completion; end tokens do not end it
 * @returns {Promise<(Plan & { completion: number[] })[]>}
 */
export async function withCompletions(model, plans, numTokens) {
  const engine = await startEngine(engineOptions(model));
  try {
    const completed = [];
    for (const [index, plan] of plans.entries()) {
      /** @type {number[]} */
      const completion = [];
      const events = engine.generate({
        requestId: `prompt-${index}`,
        promptTokens: Int32Array.from(plan.prompt),
        maxTokens: numTokens,
        stopTokens: [],
        sampling: GREEDY,
        attention: { mode: "full", retrievalBudget: null },
      });
      for await (const event of events) if (event.type === "token") completion.push(event.tokenId);
      completed.push({ ...plan, completion });
    }
    return completed;
  } finally {
    await engine.close();
  }
}
