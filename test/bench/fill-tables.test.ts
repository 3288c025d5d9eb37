import { expect, it } from "vitest";
import { fillTables } from "../../bench/lib/fill-tables.mjs";

it("replaces each result and nothing else", () => {
  const page = "a\n<!-- result x -->\nold $1\n<!-- end -->\nb\n<!-- result y -->\n<!-- end -->\n";
  const filled = fillTables(page, (name) => `new ${name} $1\n\n`);
  expect(filled).toBe("a\n<!-- result x -->\nnew x $1\n<!-- end -->\nb\n<!-- result y -->\nnew y $1\n<!-- end -->\n");
  expect(fillTables(filled, (name) => `new ${name} $1`)).toBe(filled);
});
