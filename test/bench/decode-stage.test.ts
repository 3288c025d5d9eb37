import { expect, it } from "vitest";
import { checkTokens } from "../../bench/lib/decode-stage.mjs";

it("hands on the prediction after the expected tokens", () => {
  expect(checkTokens(0, "wave", [4, 5], [4, 5, 6])).toBe(6);
});

it("refuses a timed run that differs from the untimed one", () => {
  expect(() => checkTokens(2048, "wave", [4, 5], [4, 7, 6])).toThrow(/depth 2048, wave: token 1 .* is 7, .* 5/);
});
