import { existsSync } from "node:fs";
import { modelPath } from "./models.js";

/** True where the model's file is there; otherwise says which tests are left out, and why. */
export function hasModel(name: string, tests: string): boolean {
  const path = modelPath(name);
  if (existsSync(path)) return true;
  console.warn(`skipped: ${tests}: ${path} is not there`);
  return false;
}
