/** Pieces of GGUF files (version 3), for tests that write small ones. */

/** Numbers of metadata value types. */
export const VALUE = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const;

export const u8 = (value: number) => Buffer.of(value & 255);

function written(sizeBytes: number, write: (buffer: Buffer) => void): Buffer {
  const buffer = Buffer.alloc(sizeBytes);
  write(buffer);
  return buffer;
}

export const u16 = (value: number) => written(2, (buffer) => buffer.writeUInt16LE(value));
export const u32 = (value: number) => written(4, (buffer) => buffer.writeUInt32LE(value));
export const i32 = (value: number) => written(4, (buffer) => buffer.writeInt32LE(value));
export const f32 = (value: number) => written(4, (buffer) => buffer.writeFloatLE(value));
export const f64 = (value: number) => written(8, (buffer) => buffer.writeDoubleLE(value));
export const u64 = (value: bigint | number) => written(8, (buffer) => buffer.writeBigUInt64LE(BigInt(value)));
export const i64 = (value: bigint | number) => written(8, (buffer) => buffer.writeBigInt64LE(BigInt(value)));

export function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([u64(bytes.length), bytes]);
}

export const pair = (key: string, type: number, value: Buffer) => Buffer.concat([text(key), u32(type), value]);

export const arrayPair = (key: string, type: number, values: readonly Buffer[]) =>
  pair(key, VALUE.array, Buffer.concat([u32(type), u64(values.length), ...values]));

export interface TensorBytes {
  name: string;
  shape: readonly number[];
  /** The type's number. */
  type: number;
  data: Buffer;
}

const padding = (length: number) => Buffer.alloc((32 - (length % 32)) % 32);

/** A whole file of these pairs and tensors, aligned to 32 bytes. */
export function ggufFile(pairs: readonly Buffer[], tensors: readonly TensorBytes[]): Buffer {
  const infos: Buffer[] = [];
  const data: Buffer[] = [];
  let offset = 0;
  for (const { name, shape, type, data: bytes } of tensors) {
    infos.push(text(name), u32(shape.length), ...shape.map(u64), u32(type), u64(offset));
    data.push(bytes, padding(bytes.length));
    offset += bytes.length + padding(bytes.length).length;
  }
  const head = Buffer.concat([Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(pairs.length), ...pairs, ...infos]);
  return Buffer.concat([head, padding(head.length), ...data]);
}
