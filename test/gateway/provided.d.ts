import "vitest";

/** What the global set-ups hand to the tests. */
declare module "vitest" {
  interface ProvidedContext {
    /** Folder with the Worker as it would be deployed. */
    gatewayBundleDir: string;
    /** Base URL of a server that takes connections and never answers. */
    silentUrl: string;
  }
}
