import { expect, it } from "vitest";
import { markdownTable } from "../../bench/lib/table.mjs";

it("pads every column and aligns numbers right", () => {
  expect(
    markdownTable(
      ["depth", "a"],
      [
        ["0", "1.5"],
        ["2,048", "10.25"],
      ],
    ),
  ).toBe("| depth |     a |\n| ----- | ----: |\n| 0     |   1.5 |\n| 2,048 | 10.25 |");
});
