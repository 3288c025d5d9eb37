import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Transform, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { crc32, createInflateRaw } from "node:zlib";

interface ZipMember {
  method: number;
  crc: number;
  compressedBytes: number;
  sizeBytes: number;
  headerOffset: number;
}

const END_SIGNATURE = 0x06054b50;
const ENTRY_SIGNATURE = 0x02014b50;
const LOCAL_SIGNATURE = 0x04034b50;
const END_BYTES = 22;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
/** The end record's comment may have this length. */
const MAX_COMMENT_BYTES = 0xffff;
const STORED = 0;
const DEFLATED = 8;

/**
 * Writes one member of a zip file (a wheel) to `output` and checks its size and checksum. Files of 4 GiB and more
 * (zip64) and encrypted members are refused.
 */
export async function extractMember(zipPath: string, memberName: string, output: Writable): Promise<void> {
  const file = await open(zipPath, "r");
  let member: ZipMember;
  let dataOffset: number;
  try {
    member = await findMember(file, zipPath, memberName);
    dataOffset = await findData(file, zipPath, member);
  } finally {
    await file.close();
  }
  const check = new ChecksumStream();
  if (member.compressedBytes === 0) {
    await pipeline(check.end(), output);
  } else {
    const data = createReadStream(zipPath, { start: dataOffset, end: dataOffset + member.compressedBytes - 1 });
    if (member.method === STORED) await pipeline(data, check, output);
    else await pipeline(data, createInflateRaw(), check, output);
  }
  if (check.crc !== member.crc || check.sizeBytes !== member.sizeBytes) {
    throw new Error(`${zipPath}: member ${memberName} is damaged (${check.sizeBytes} of ${member.sizeBytes} bytes)`);
  }
}

class ChecksumStream extends Transform {
  crc = 0;
  sizeBytes = 0;
  override _transform(chunk: Buffer, _encoding: string, done: (error: null, chunk: Buffer) => void): void {
    this.crc = crc32(chunk, this.crc);
    this.sizeBytes += chunk.length;
    done(null, chunk);
  }
}

async function findMember(file: FileHandle, zipPath: string, memberName: string): Promise<ZipMember> {
  const directory = await readDirectory(file, zipPath);
  for (let at = 0; at + ENTRY_BYTES <= directory.length; ) {
    if (directory.readUInt32LE(at) !== ENTRY_SIGNATURE) break;
    const nameEnd = at + ENTRY_BYTES + directory.readUInt16LE(at + 28);
    if (directory.toString("utf8", at + ENTRY_BYTES, nameEnd) === memberName) {
      const isEncrypted = (directory.readUInt16LE(at + 8) & 1) === 1;
      const member = {
        method: directory.readUInt16LE(at + 10),
        crc: directory.readUInt32LE(at + 16),
        compressedBytes: directory.readUInt32LE(at + 20),
        sizeBytes: directory.readUInt32LE(at + 24),
        headerOffset: directory.readUInt32LE(at + 42),
      };
      if (isEncrypted || (member.method !== STORED && member.method !== DEFLATED)) {
        throw new Error(`${zipPath}: member ${memberName} uses method ${member.method}, which is not supported`);
      }
      return member;
    }
    at = nameEnd + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  throw new Error(`${zipPath} has no member ${memberName}`);
}

async function readDirectory(file: FileHandle, zipPath: string): Promise<Buffer> {
  const { size } = await file.stat();
  const tail = await readExactly(file, Math.max(0, size - END_BYTES - MAX_COMMENT_BYTES), size, zipPath);
  for (let at = tail.length - END_BYTES; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END_SIGNATURE) continue;
    const start = tail.readUInt32LE(at + 16);
    const end = start + tail.readUInt32LE(at + 12);
    if (start === 0xffffffff || end > size) break;
    return readExactly(file, start, end, zipPath);
  }
  throw new Error(`${zipPath} is not a complete zip file`);
}

/** The local header repeats name and extra fields with lengths of its own; the data follows them. */
async function findData(file: FileHandle, zipPath: string, member: ZipMember): Promise<number> {
  const header = await readExactly(file, member.headerOffset, member.headerOffset + LOCAL_BYTES, zipPath);
  if (header.readUInt32LE(0) !== LOCAL_SIGNATURE) throw new Error(`${zipPath} is not a complete zip file`);
  return member.headerOffset + LOCAL_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28);
}

async function readExactly(file: FileHandle, start: number, end: number, zipPath: string): Promise<Buffer> {
  const buffer = Buffer.alloc(end - start);
  const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
  if (bytesRead !== buffer.length) throw new Error(`${zipPath} ends too early`);
  return buffer;
}
