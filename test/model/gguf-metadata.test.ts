import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GGMLQuantizationType, gguf } from "@huggingface/gguf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CATALOGUE, DEFAULT_MODEL } from "../../src/model/catalogue.js";
import { cachedModelPath, resolveModel } from "../../src/model/fetch.js";
import { readGgufMetadata, readGgufTensors } from "../../src/model/gguf-metadata.js";
import type { GgufValue } from "../../src/text/types.js";
import { arrayPair, f32, f64, ggufFile, i32, i64, pair, text, u8, u16, u32, u64, VALUE } from "./gguf-bytes.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wavekv-gguf-"));
});
afterAll(() => rm(folder, { recursive: true }));

let numFiles = 0;
async function write(bytes: Buffer): Promise<string> {
  const path = join(folder, `${numFiles++}.gguf`);
  await writeFile(path, bytes);
  return path;
}

async function metadataOf(...pairs: Buffer[]): Promise<GgufValue[]> {
  return [...readGgufMetadata(await write(ggufFile(pairs, []))).values()];
}

describe("metadata values", () => {
  it("keep their order and types", async () => {
    const path = await write(
      ggufFile(
        [
          pair("general.architecture", VALUE.string, text("llama")),
          pair("b", VALUE.uint8, u8(200)),
          pair("a", VALUE.int8, u8(-100)),
          pair("c", VALUE.uint16, u16(60000)),
          pair("d", VALUE.float32, f32(1.5)),
          pair("e", VALUE.float64, f64(-0.1)),
          pair("f", VALUE.bool, u8(1)),
          pair("g", VALUE.int32, i32(-7)),
        ],
        [],
      ),
    );
    const expected = { "general.architecture": "llama", b: 200, a: -100, c: 60000, d: 1.5, e: -0.1, f: true, g: -7 };
    const metadata = readGgufMetadata(path);
    expect(metadata).toBeInstanceOf(Map);
    expect([...metadata]).toEqual(Object.entries(expected));
  });

  it("give 64-bit integers past 2^53 as bigint", async () => {
    const max = Number.MAX_SAFE_INTEGER;
    const values = await metadataOf(
      pair("a", VALUE.uint64, u64(max)),
      pair("b", VALUE.uint64, u64(2n ** 53n)),
      pair("c", VALUE.uint64, u64(2n ** 64n - 1n)),
      pair("d", VALUE.int64, i64(-max)),
      pair("e", VALUE.int64, i64(-(2n ** 53n))),
      pair("f", VALUE.int64, i64(-(2n ** 63n))),
    );
    expect(values).toEqual([max, 2n ** 53n, 2n ** 64n - 1n, -max, -(2n ** 53n), -(2n ** 63n)]);
  });

  it("give arrays of integers as Int32Array where all fit, else Float64Array", async () => {
    const values = await metadataOf(
      arrayPair("a", VALUE.uint8, [u8(1), u8(255)]),
      arrayPair("b", VALUE.int8, [u8(-1)]),
      arrayPair("c", VALUE.uint32, [u32(2 ** 31 - 1)]),
      arrayPair("d", VALUE.uint32, [u32(1), u32(2 ** 31)]),
      arrayPair("e", VALUE.int32, [i32(-(2 ** 31)), i32(5)]),
      arrayPair("f", VALUE.int64, [i64(-(2 ** 31))]),
      arrayPair("g", VALUE.int64, [i64(-(2 ** 31) - 1)]),
      arrayPair("h", VALUE.uint64, [u64(2n ** 63n)]),
      arrayPair("i", VALUE.int32, []),
    );
    expect(values).toEqual([
      Int32Array.of(1, 255),
      Int32Array.of(-1),
      Int32Array.of(2 ** 31 - 1),
      Float64Array.of(1, 2 ** 31),
      Int32Array.of(-(2 ** 31), 5),
      Int32Array.of(-(2 ** 31)),
      Float64Array.of(-(2 ** 31) - 1),
      Float64Array.of(2 ** 63),
      new Int32Array(0),
    ]);
  });

  it("give other arrays by their kind", async () => {
    const strings = Array.from({ length: 5000 }, (_, index) => `token ${index} €`);
    const values = await metadataOf(
      arrayPair("a", VALUE.float32, [f32(0.25), f32(-2)]),
      arrayPair("b", VALUE.float64, [f64(0.1)]),
      arrayPair("c", VALUE.bool, [u8(1), u8(0), u8(1)]),
      arrayPair("d", VALUE.string, strings.map(text)),
      arrayPair("e", VALUE.string, []),
    );
    expect(values).toEqual([Float32Array.of(0.25, -2), Float64Array.of(0.1), [true, false, true], strings, []]);
  });

  it("replace bytes that are not UTF-8 by U+FFFD, as TextDecoder does", async () => {
    const tokens = ["ff", "c3", "61e28261", "eda080", "f09f9880", "c0af", "", "00", "e282ac"];
    const bytes = tokens.map((hex) => Buffer.from(hex, "hex"));
    const [array, single] = await metadataOf(
      arrayPair("a", VALUE.string, bytes.map(text)),
      pair("b", VALUE.string, text(Buffer.from("41ff42", "hex"))),
    );
    expect(array).toEqual(bytes.map((each) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(each)));
    expect(single).toBe("A\uFFFDB");
  });
});

describe("tensors", () => {
  it("have name, type, shape and size", async () => {
    const tensors = [
      { name: "token_embd.weight", shape: [64, 3], type: 3, data: Buffer.alloc(120) },
      { name: "output_norm.weight", shape: [5], type: 0, data: Buffer.alloc(20) },
    ];
    expect(readGgufTensors(await write(ggufFile([], tensors)))).toEqual([
      { name: "token_embd.weight", type: "Q4_1", shape: [64, 3], sizeBytes: 120 },
      { name: "output_norm.weight", type: "F32", shape: [5], sizeBytes: 20 },
    ]);
  });
});

describe("a file that cannot be read", () => {
  it("throws an Error that names the file, what is wrong and the byte", async () => {
    const sound = ggufFile([pair("a", VALUE.uint8, u8(1))], []);
    const path = await write(Buffer.concat([sound.subarray(0, 33), u32(13), sound.subarray(37)]));
    expect(() => readGgufMetadata(path)).toThrow(
      new Error(`${path}: key 'a' has the unknown value type 13 at byte 33`),
    );
    const empty = await write(Buffer.alloc(0));
    expect(() => readGgufTensors(empty)).toThrow(new Error(`${empty}: the file is empty at byte 0`));
  });

  it("throws where there is no such file, and for a path that is no string or holds a NUL", () => {
    const absent = join(folder, "absent.gguf");
    expect(() => readGgufMetadata(absent)).toThrow(new Error(`${absent}: cannot be opened: No such file or directory`));
    expect(() => readGgufMetadata(folder)).toThrow("is not a regular file");
    expect(() => readGgufMetadata("/dev/null\0.gguf")).toThrow("the path holds a NUL character");
    expect(() => readGgufMetadata(3 as unknown as string)).toThrow(new TypeError("path must be a string"));
  });

  it("refuses arrays that would exhaust the JavaScript heap", async () => {
    const head = Buffer.concat([text("a"), u32(VALUE.array), u32(VALUE.uint8), u64(2 ** 24 + 1)]);
    const path = await write(ggufFile([Buffer.concat([head, Buffer.alloc(2 ** 24 + 1)])], []));
    expect(() => readGgufMetadata(path)).toThrow("arrays of 16777217 elements in all, more than 16777216");
  });
});

/** Our value in the other parser's terms: it gives every array as a plain one, and every 64-bit integer as a bigint. */
function plain(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number>);
  if (typeof value === "bigint") return Number(value);
  return value;
}

// The default model is fetched with the set-up of the tests; others are compared where they are at hand.
describe.each(CATALOGUE.map(({ name }) => name))("the real file of %s", (name) => {
  it("reads as another parser reads it", async (context) => {
    const entry = CATALOGUE.find((each) => each.name === name)!;
    const path = name === DEFAULT_MODEL ? await resolveModel(name) : await cachedModelPath(entry);
    if (path === null) return context.skip();
    const other = await gguf(path, { allowLocalFile: true });
    const { version: _, tensor_count: __, kv_count: ___, ...metadata } = other.metadata as Record<string, unknown>;

    const ours = [...readGgufMetadata(path)].map(([key, value]) => [key, plain(value)]);
    expect(Object.fromEntries(ours)).toEqual(
      Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, plain(value)])),
    );
    const tensors = readGgufTensors(path).map(({ name, type, shape }) => ({ name, type, shape }));
    expect(tensors).toEqual(
      other.tensorInfos.map(({ name, dtype, shape }) => ({
        name,
        type: GGMLQuantizationType[dtype],
        shape: shape.map(Number),
      })),
    );
  });
});
