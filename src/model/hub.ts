import { basename } from "node:path";
import { HUB_URL, listFiles } from "@huggingface/hub";
import { describeError, ModelFetchError } from "./fetch-error.js";
import type { ExpectedFile } from "./model-cache.js";

export interface HubOptions {
  /** Another hub with the same interface; tests use it. */
  hubUrl?: string;
  /** Longest wait for the list of files: where the hub cannot be reached, this is the delay before the next source. */
  listTimeoutMs?: number;
  signal?: AbortSignal;
}

export interface HubFile extends ExpectedFile {
  path: string;
  url: string;
}

export const DEFAULT_QUANTISATION = "Q4_K_M";
const DEFAULT_LIST_TIMEOUT_MS = 5_000;

/** The repository's GGUF files, with the hash that the hub keeps for each. */
export async function listHubModels(repository: string, revision: string, options: HubOptions): Promise<HubFile[]> {
  const hubUrl = options.hubUrl ?? HUB_URL;
  const deadline = AbortSignal.timeout(options.listTimeoutMs ?? DEFAULT_LIST_TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  const files: HubFile[] = [];
  try {
    const entries = listFiles({
      repo: { type: "model", name: repository },
      revision,
      recursive: true,
      hubUrl,
      fetch: (url, init) => fetch(url, { ...init, signal }),
    });
    for await (const entry of entries) {
      if (entry.type !== "file" || !entry.path.toLowerCase().endsWith(".gguf")) continue;
      const path = entry.path.split("/").map(encodeURIComponent).join("/");
      files.push({
        path: entry.path,
        url: `${hubUrl}/${repository}/resolve/${encodeURIComponent(revision)}/${path}`,
        sizeBytes: entry.lfs?.size ?? entry.size,
        sha256: entry.lfs?.oid ?? null,
      });
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    const status = (error as { statusCode?: number }).statusCode;
    // The hub answers 401 for a repository that does not exist as well as for a private one.
    const reason = status === 401 || status === 404 ? "no such public repository" : describeError(error);
    throw new ModelFetchError("unavailable", `${repository}: ${reason}`, { cause: error });
  }
  return files;
}

/**
 * The one file that `selector` names: a file name, a quantisation such as `Q8_0`, or, when it is undefined, Q4_K_M or
 * the only model there is. Throws ModelFetchError with the list of what is there when the choice is not clear.
 */
export function selectHubFile(repository: string, files: readonly HubFile[], selector?: string): HubFile {
  const models = files.filter((file) => !basename(file.path).toLowerCase().includes("mmproj"));
  const refuse = (reason: string): never => {
    const names = models.map((file) => file.path).join(", ") || "no GGUF file";
    throw new ModelFetchError("unavailable", `${repository}: ${reason}; it has ${names}`);
  };
  const matches = models.filter((file) => matchesSelector(file.path, selector ?? DEFAULT_QUANTISATION));
  const chosen = matches.length === 0 && selector === undefined && models.length === 1 ? models : matches;
  const [file, ...others] = chosen;
  if (!file) return refuse(`no file for ${selector ?? DEFAULT_QUANTISATION}`);
  if (others.length > 0) return refuse(`several files for ${selector ?? DEFAULT_QUANTISATION}, name one of them`);
  if (/-\d{5}-of-\d{5}\.gguf$/i.test(file.path)) return refuse("models split into several files cannot be loaded");
  return file;
}

function matchesSelector(path: string, selector: string): boolean {
  const name = basename(path);
  if (selector.toLowerCase().endsWith(".gguf")) return path === selector || name === selector;
  const quantisation = selector.toLowerCase().replace(/[^a-z0-9]/g, "\\$&");
  return new RegExp(`(^|[-._])${quantisation}([-._]|$)`).test(name.toLowerCase());
}
