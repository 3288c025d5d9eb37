/** `wavekv models`: the models known by name, and their fetch. */

import { CATALOGUE, DEFAULT_MODEL } from "../model/catalogue.js";
import { cachedModelPath, resolveModel } from "../model/fetch.js";
import { fetchReporting } from "./progress-bar.js";

/** Prints one line a model, with what is in the cache. */
export async function listModels(): Promise<void> {
  const rows = [["NAME", "SIZE", "QUANTISATION", "CONTEXT", "LICENCE", "IN CACHE"]];
  for (const entry of CATALOGUE) {
    const cached = await cachedModelPath(entry);
    rows.push([
      entry.name === DEFAULT_MODEL ? `${entry.name} (default)` : entry.name,
      `${Math.round(entry.sizeBytes / 1e6)} MB`,
      entry.facts.quantisation,
      `${entry.facts.contextTokens}`,
      entry.licence,
      cached ?? "no",
    ]);
  }
  process.stdout.write(table(rows));
}

/** Fetches `name` and prints its path. */
export async function pullModel(name: string): Promise<void> {
  const reporting = fetchReporting(name);
  try {
    const path = await resolveModel(name, reporting);
    reporting.stop();
    process.stdout.write(`${path}\n`);
  } finally {
    reporting.stop();
  }
}

function table(rows: readonly string[][]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "));
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}
