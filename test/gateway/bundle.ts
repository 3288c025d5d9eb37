import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";

/** Bundles the Worker once, by the very command that deploys it: this also proves that `wrangler deploy --dry-run` works. */
export default async function bundleGateway(project: TestProject): Promise<() => Promise<void>> {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const outDir = await mkdtemp(join(tmpdir(), "wavekv-gateway-"));
  await promisify(execFile)(
    process.execPath,
    [join(root, "node_modules/wrangler/bin/wrangler.js"), "deploy", "--dry-run", "--outdir", outDir],
    { cwd: root, env: { ...process.env, WRANGLER_SEND_METRICS: "false", CI: "1" } },
  );
  project.provide("gatewayBundleDir", outDir);
  return () => rm(outDir, { recursive: true });
}
