// @ts-check
// Puts the newest tables of bench/results into docs/performance.md: npm run bench:tables
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fillTables } from "./lib/fill-tables.mjs";

const PAGE = new URL("../docs/performance.md", import.meta.url);

const page = fillTables(readFileSync(PAGE, "utf8"), (name) => {
  const file = new URL(`results/${name}.md`, import.meta.url);
  return existsSync(file) ? readFileSync(file, "utf8").replace(/^# .*\n+/, "") : "Not measured yet.";
});
writeFileSync(PAGE, page);
