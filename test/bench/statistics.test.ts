import { expect, it } from "vitest";
import { mean, median } from "../../bench/lib/statistics.mjs";

it("takes the middle value, or the mean of the two in the middle, in the order of numbers", () => {
  expect(median([10, 9, 100])).toBe(10);
  expect(median([4, 100, 2, 30])).toBe(17);
  expect(mean([1, 2, 6])).toBe(3);
});

it("refuses the median and the mean of nothing", () => {
  expect(() => median([])).toThrow("nothing");
  expect(() => mean([])).toThrow("nothing");
});
