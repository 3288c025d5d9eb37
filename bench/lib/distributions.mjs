// @ts-check

/** @param {Float32Array} logits @returns {Float64Array} log-probabilities */
export function logSoftmax(logits) {
  let maximum = Number.NEGATIVE_INFINITY;
  for (const logit of logits) maximum = Math.max(maximum, logit);
  let mass = 0;
  for (const logit of logits) mass += Math.exp(logit - maximum);
  const logMass = maximum + Math.log(mass);
  return new Float64Array(logits).map((logit) => logit - logMass);
}

/** @param {Float64Array} values @returns {number} index of the largest, the lowest one on ties */
export function argmax(values) {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of values) largest = Math.max(largest, value);
  return values.indexOf(largest);
}

/**
 * KL(reference || other) in nats.
 *
 * @param {Float64Array} reference log-probabilities
 * @param {Float64Array} other log-probabilities of the same length
 * @returns {number}
 */
export function klDivergence(reference, other) {
  return reference.reduce((sum, logP, token) => sum + Math.exp(logP) * (logP - (other[token] ?? Number.NaN)), 0);
}
