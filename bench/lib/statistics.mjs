// @ts-check

/** @param {readonly number[]} values @returns {number} */
export function median(values) {
  if (values.length === 0) throw new Error("the median of nothing");
  const sorted = [...values].sort((a, b) => a - b);
  return mean(sorted.slice((sorted.length - 1) >> 1, (sorted.length >> 1) + 1));
}

/** @param {readonly number[]} values @returns {number} */
export function mean(values) {
  if (values.length === 0) throw new Error("the mean of nothing");
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
