// @ts-check

/**
 * Speed of streams that decode together: from the moment when the last of them has given its first token to the moment
 * when the first of them gives its last one. Tokens at the window's beginning are not counted, those at its end are.
 *
 * @param {readonly (readonly number[])[]} streams times at which each one's tokens came, in ms, ascending
 * @returns {{ ms: number, tokens: number, tokensPerSecond: number }}
 */
export function commonWindow(streams) {
  if (streams.length === 0 || streams.some((times) => times.length === 0))
    throw new Error("a stream without a token has no window");
  const start = Math.max(...streams.map((times) => times[0] ?? 0));
  const end = Math.min(...streams.map((times) => times.at(-1) ?? 0));
  if (end <= start) throw new Error("a stream ended before the last one began: decode more tokens");
  const tokens = streams.flat().filter((time) => time > start && time <= end).length;
  return { ms: end - start, tokens, tokensPerSecond: (1000 * tokens) / (end - start) };
}
