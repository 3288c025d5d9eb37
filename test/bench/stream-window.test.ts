import { expect, it } from "vitest";
import { commonWindow } from "../../bench/lib/stream-window.mjs";

it("counts the tokens of all streams while all of them decode", () => {
  const streams = [
    [0, 10, 20, 30, 40],
    [15, 25, 35, 45],
  ];
  expect(commonWindow(streams)).toEqual({ ms: 25, tokens: 5, tokensPerSecond: 200 });
});

it("refuses streams that never ran together", () => {
  expect(() =>
    commonWindow([
      [0, 10],
      [20, 30],
    ]),
  ).toThrow(/ended before/);
  expect(() => commonWindow([[0, 10], []])).toThrow(/without a token/);
});
