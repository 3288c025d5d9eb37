// @ts-check
// Needles: facts planted in a text at even depths, each asked for after the whole text.

/** @typedef {import("../../dist/text/types.js").Tokenizer} Tokenizer */
/** @typedef {{ fact: string, digits: string, depth: number }} Needle */
/** @typedef {{ tokens: Int32Array, answerFrom: number }} Question question and answer; the answer is tokens[answerFrom..] */

/** The number stands last, so that the words before it are the question. @type {readonly ((digits: string) => string)[]} */
const FACTS = [
  (digits) => `The secret access code of the observatory is ${digits}.`,
  (digits) => `Remember that the vault in Marseille opens with ${digits}.`,
  (digits) => `The phone number of the lighthouse keeper is ${digits}.`,
  (digits) => `Captain Okafor's ship was registered under number ${digits}.`,
  (digits) => `The population of the village of Brunnwald is ${digits}.`,
  (digits) => `Professor Lindqvist's library card has the number ${digits}.`,
  (digits) => `The winning ticket of the Toronto lottery was ${digits}.`,
  (digits) => `In the castle archive the oldest letter is item ${digits}.`,
  (digits) => `The bakery sold, over the whole year, loaves in the number of ${digits}.`,
  (digits) => `The serial number on the violin reads ${digits}.`,
];
export const MAX_NEEDLES = FACTS.length;
const NUM_DIGITS = 6;

/**
 * A small generator (mulberry32): uniform in [0, 1), the same on every machine.
 *
 * @param {number} seed
 */
function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x = (x + Math.imul(x ^ (x >>> 7), x | 61)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Needles at even depths of a text.
 *
 * @param {number} count at most MAX_NEEDLES
 * @param {number} seed of the numbers
 * @returns {Needle[]}
 */
export function makeNeedles(count, seed) {
  const random = seededRandom(seed);
  return FACTS.slice(0, count).map((fact, i) => {
    const digits = Array.from({ length: NUM_DIGITS }, () => Math.floor(random() * 10)).join("");
    return { fact: fact(digits), digits, depth: (i + 0.5) / count };
  });
}

/**
 * Tokens of a text with the needles among its first numTokens; the text goes on after those.
 *
 * @param {Tokenizer} tokenizer
 * @param {string} text
 * @param {readonly Needle[]} needles
 * @param {number} numTokens
 */
export function plantNeedles(tokenizer, text, needles, numTokens) {
  const plain = tokenizer.encode(text, { addSpecial: true, parseSpecial: false });
  const planted = needles.map(({ fact }) =>
    tokenizer.encode(`\n\n${fact}\n\n`, { addSpecial: false, parseSpecial: false }),
  );
  const ownTokens = numTokens - planted.reduce((sum, tokens) => sum + tokens.length, 0);
  const cuts = needles.map(({ depth }) => Math.floor(depth * ownTokens));
  const pieces = [plain.subarray(0, cuts[0])];
  planted.forEach((tokens, i) => {
    pieces.push(tokens, plain.subarray(cuts[i], cuts[i + 1]));
  });
  return Int32Array.from(pieces.flatMap((piece) => [...piece]));
}

/**
 * @param {Tokenizer} tokenizer
 * @param {Needle} needle
 * @returns {Question}
 */
export function askNeedle(tokenizer, { fact, digits }) {
  const options = { addSpecial: false, parseSpecial: false };
  const tokens = tokenizer.encode(`\n\n${fact.slice(0, fact.lastIndexOf(digits) + digits.length)}`, options);
  let answerFrom = tokens.length;
  for (let left = digits.length; left > 0; ) {
    answerFrom--;
    left -= tokenizer.decode(tokens.subarray(answerFrom, answerFrom + 1)).replace(/\D/g, "").length;
  }
  return { tokens, answerFrom };
}
