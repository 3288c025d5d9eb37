// @ts-check
/** A failure whose message is all that a person needs: it is printed without a stack. */
export class SetUpError extends Error {}

/**
 * Prints one line for a piece of work, with its time; what `work` returns is a remark on that line.
 *
 * @param {string} title
 * @param {() => Promise<string | void>} work
 */
export async function step(title, work) {
  const start = performance.now();
  process.stdout.write(`${title} ... `);
  try {
    const remark = await work();
    process.stdout.write(`${remark ? `${remark}, ` : ""}${((performance.now() - start) / 1000).toFixed(1)} s\n`);
  } catch (error) {
    process.stdout.write("failed\n");
    throw error;
  }
}
