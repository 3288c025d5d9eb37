import { expect, it } from "vitest";
import { argmax, klDivergence, logSoftmax } from "../../bench/lib/distributions.mjs";

it("normalises logits whose exponentials would overflow", () => {
  const [a, b] = logSoftmax(Float32Array.of(1000, 1000 + Math.log(3)));
  expect(Math.exp(a!)).toBeCloseTo(0.25, 4);
  expect(Math.exp(b!)).toBeCloseTo(0.75, 4);
});

it("gives KL(reference || other), which is not symmetric", () => {
  const reference = Float64Array.of(Math.log(0.5), Math.log(0.5));
  const other = Float64Array.of(Math.log(0.9), Math.log(0.1));
  expect(klDivergence(reference, reference)).toBe(0);
  expect(klDivergence(reference, other)).toBeCloseTo(0.5 * Math.log(0.5 / 0.9) + 0.5 * Math.log(5), 12);
  expect(klDivergence(other, reference)).toBeCloseTo(0.9 * Math.log(1.8) + 0.1 * Math.log(0.2), 12);
});

it("takes the lowest index on ties", () => {
  expect(argmax(Float64Array.of(-3, -1, -2, -1))).toBe(1);
});
