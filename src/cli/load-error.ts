/** A model that is there and cannot run; the message says why. */
export class LoadError extends Error {
  override readonly name = "LoadError";
}
