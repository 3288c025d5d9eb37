import { describe, expect, it } from "vitest";
import { ConfigError, loadConfig, OPTIONS, type OptionKey, optionsOf } from "../src/config.js";

const load = (flags: Partial<Record<OptionKey, string>>, environment: Record<string, string> = {}) =>
  loadConfig("serve", flags, environment);

describe("the configuration table", () => {
  it("is frozen, and names every option once, alike in flag, variable and key", () => {
    expect(Object.isFrozen(OPTIONS)).toBe(true);
    for (const [key, row] of Object.entries(OPTIONS)) {
      expect(Object.isFrozen(row)).toBe(true);
      const dashed = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      expect(row.flag).toMatch(new RegExp(`^--${dashed} <[^>]+>$`));
      expect(row.env).toBe(`WAVEKV_${dashed.replaceAll("-", "_").toUpperCase()}`);
      expect(row.help).not.toMatch(/\n/);
      expect(row.help.length).toBeGreaterThan(10);
    }
  });

  it("gives defaults that its own parsers accept", () => {
    for (const [key, row] of Object.entries(OPTIONS)) {
      if (row.defaultValue === null) continue;
      expect([key, row.parse(String(row.defaultValue))]).toEqual([key, { ok: true, value: row.defaultValue }]);
    }
  });

  it("prefers the flag to the variable, and the variable to the default", () => {
    expect(load({}).port).toBe(8080);
    expect(load({}, { WAVEKV_PORT: "9000" }).port).toBe(9000);
    expect(load({ port: "9001" }, { WAVEKV_PORT: "9000" }).port).toBe(9001);
    expect(load({}, { WAVEKV_API_KEY: "" }).apiKey).toBeNull();
  });

  it("leaves the options of other commands alone", () => {
    expect(loadConfig("serve", {}, { WAVEKV_SEED: "not a number" }).seed).toBeNull();
    expect(() => loadConfig("run", {}, { WAVEKV_SEED: "not a number" })).toThrow("WAVEKV_SEED");
    expect(optionsOf("run").map(([key]) => key)).not.toContain("port");
  });

  it.each([
    ["port", "65536", "--port"],
    ["port", "-1", "--port"],
    ["port", "80.5", "--port"],
    ["port", "0x50", "--port"],
    ["port", "", "--port"],
    ["ctxSize", "255", "--ctx-size"],
    ["parallel", "0", "--parallel"],
    ["parallel", "1e3", "--parallel"],
    ["threads", "zero", "--threads"],
    ["ropeScaling", "ntk", "--rope-scaling"],
    ["ropeScale", "0.5", "--rope-scale"],
    ["retrievalBudget", "1.01", "--retrieval-budget"],
    ["retrievalBudget", "5%", "--retrieval-budget"],
    ["retrievalBudget", "NaN", "--retrieval-budget"],
    ["attention", "sparse", "--attention"],
    ["simd", "sse2", "--simd"],
    ["kvType", "int4", "--kv-type"],
    ["kvType", "Q8", "--kv-type"],
    ["blockCache", "-1", "--block-cache"],
    ["kvMemory", "4 apples", "--kv-memory"],
    ["kvMemory", "1000", "--kv-memory"],
    ["logLevel", "loud", "--log-level"],
  ] as const)("refuses %s = %j, naming %s", (key, value, flag) => {
    expect(() => load({ [key]: value })).toThrow(ConfigError);
    expect(() => load({ [key]: value })).toThrow(flag);
    expect(() => load({ [key]: value })).toThrow(JSON.stringify(value));
  });

  it("leaves the kind of keys and values to the engine unless it is named", () => {
    expect(load({}).kvType).toBeNull();
    expect(load({ kvType: "f16" }).kvType).toBe("f16");
    expect(load({}, { WAVEKV_KV_TYPE: "q8" }).kvType).toBe("q8");
  });

  it.each([
    ["800MiB", 800 * 1024 ** 2],
    ["4GiB", 4 * 1024 ** 3],
    ["4g", 4 * 1024 ** 3],
    ["2GB", 2e9],
    ["1.5 GiB", 1.5 * 1024 ** 3],
    ["2097152", 2097152],
  ])("reads %s as %d bytes", (value, expected) => {
    expect(load({ kvMemory: value }).kvMemory).toBe(expected);
  });
});
