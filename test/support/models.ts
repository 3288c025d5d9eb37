import { homedir } from "node:os";
import { join } from "node:path";

/** Where the product keeps a model of its catalogue; the file need not exist. */
export function modelPath(name: string): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "wavekv", "models", `${name}.gguf`);
}
