// @ts-check
// The protocol of the measuring workers: one JSON object a line, a request on stdin, its answer on stdout.
import { createInterface } from "node:readline";

/**
 * @typedef {{ op: string } & Record<string, any>} WorkerRequest
 * @typedef {Record<string, (request: WorkerRequest) => object | Promise<object>>} WorkerOperations
 */

/**
 * Answers requests in their order until stdin ends. An operation that throws answers `{ error }`. What libraries print
 * must go to stderr.
 *
 * @param {WorkerOperations} operations
 */
export async function serveJsonLines(operations) {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = /** @type {WorkerRequest} */ (JSON.parse(line));
    const operation = operations[request.op];
    let answer;
    try {
      if (!operation) throw new Error(`there is no operation ${request.op}`);
      answer = await operation(request);
    } catch (error) {
      answer = { error: /** @type {Error} */ (error).stack };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}
