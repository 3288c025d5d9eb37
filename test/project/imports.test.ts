import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { importCycles, importsOf, type SourceTree, upwardImports } from "./import-graph.js";

async function readSources(): Promise<SourceTree> {
  const names = await readdir("src", { recursive: true });
  const paths = names.filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts")).sort();
  const texts = await Promise.all(paths.map((path) => readFile(join("src", path), "utf8")));
  return new Map(paths.map((path, index) => [path.replaceAll("\\", "/"), texts[index]!]));
}

const tree = (files: Record<string, string>): SourceTree => new Map(Object.entries(files));

describe("imports of src/", () => {
  it("go one way", async () => {
    const imports = importsOf(await readSources());
    expect(imports.length).toBeGreaterThan(10);
    expect(upwardImports(imports)).toEqual([]);
  });

  it("make no cycle", async () => {
    expect(importCycles(importsOf(await readSources()))).toEqual([]);
  });

  it("name files that exist", async () => {
    const sources = await readSources();
    const missing = importsOf(sources).filter(({ to }) => to !== "wasm" && !sources.has(to));
    expect(missing.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
  });
});

describe("the import graph", () => {
  const refused = (files: Record<string, string>) => upwardImports(importsOf(tree(files)));

  it("sees every form of import", () => {
    const text = [
      'import "./a.js";',
      'import b from "./b.js";',
      "import {\n  c,\n  type C,\n} from './c.js';",
      'export * from "./d.js";',
      'export { e } from "./e.js";',
      'import type { F } from "./f.js";',
      'export type { G } from "./g.js";',
      'const h = await import("./h.js");',
      'import fs from "node:fs";',
      'const text = "import x from \\"./i.js\\"";',
      'import module from "../../build/wasm/control-plane.wasm";',
    ].join("\n");
    const seen = importsOf(tree({ "engine/x.ts": text })).map(({ to, typeOnly }) => `${to}${typeOnly ? " type" : ""}`);
    expect(seen.sort()).toEqual([
      "engine/a.ts",
      "engine/b.ts",
      "engine/c.ts",
      "engine/d.ts",
      "engine/e.ts",
      "engine/f.ts type",
      "engine/g.ts type",
      "engine/h.ts",
      "wasm",
    ]);
  });

  it("allows downward imports, skipping layers or not, and leaves", () => {
    expect(
      refused({
        "main.ts": 'import "./cli/run.js";\nimport "./errors.js";',
        "cli/run.ts": 'import "../model/fetch.js";\nimport "../api/server.js";',
        "api/server.ts": 'import "../engine/engine.js";\nimport "../config.js";',
        "engine/engine.ts": 'import "../scheduler/queue.js";\nimport "../native/addon.js";',
        "scheduler/queue.ts": 'import "../kvcache/chain.js";',
        "text/decode.ts": 'import "../errors.js";',
        "gateway/worker.ts": 'import "../api/chat-schemas.js";\nimport "../errors.js";',
      }),
    ).toEqual([]);
  });

  it.each([
    ["engine/step.ts", "../api/server.js", "api lies above engine"],
    ["native/addon.ts", "../kvcache/chain.js", "kvcache lies above native"],
    ["api/server.ts", "../cli/run.js", "cli lies above api"],
    ["text/decode.ts", "../model/fetch.js", "text is a leaf"],
    ["errors.ts", "./engine/step.js", "errors is a leaf"],
    ["gateway/worker.ts", "../api/server.js", "the gateway may import only"],
    ["gateway/worker.ts", "../engine/types.js", "the gateway may import only"],
    ["api/server.ts", "../gateway/worker.js", "nothing of a node may import the gateway"],
    ["utils/misc.ts", "../errors.js", "belongs to no layer"],
  ])("refuses %s importing %s", (from, specifier, reason) => {
    expect(refused({ [from]: `import { x } from "${specifier}";` })).toEqual([expect.stringContaining(reason)]);
  });

  it("refuses upward types as well, unless they are marked or a shared contract", () => {
    const upward = 'import type { Server } from "../api/server.js";';
    expect(refused({ "engine/step.ts": upward })).toHaveLength(1);
    expect(refused({ "engine/step.ts": `// upward type: the shape of a callback\n${upward}` })).toEqual([]);
    expect(refused({ "scheduler/queue.ts": 'import type { X } from "../engine/types.js";' })).toEqual([]);
    expect(refused({ "scheduler/queue.ts": 'import { X } from "../engine/types.js";' })).toHaveLength(1);
  });

  it("finds cycles of files and of sibling folders, and not those of types", () => {
    const files = {
      "engine/a.ts": 'import { b } from "./b.js";',
      "engine/b.ts": 'export { c } from "./c.js";',
      "engine/c.ts": 'import { a } from "./a.js";',
    };
    expect(importCycles(importsOf(tree(files)))).toEqual(["engine/a.ts -> engine/b.ts -> engine/c.ts -> engine/a.ts"]);
    const typed = { ...files, "engine/c.ts": 'import type { a } from "./a.js";' };
    expect(importCycles(importsOf(tree(typed)))).toEqual([]);
    const folders = {
      "model/a.ts": 'import { x } from "../kvcache/x.js";',
      "kvcache/y.ts": 'import { b } from "../model/b.js";',
    };
    expect(importCycles(importsOf(tree(folders)))).toEqual(["model -> kvcache -> model"]);
  });
});
