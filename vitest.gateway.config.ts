import { cloudflareTest } from "@cloudflare/vitest-pool-workers";
import { defineConfig } from "vitest/config";

/** These drive a workerd process over real sockets from Node; all other tests of the gateway run inside workerd. */
const OVER_SOCKETS = ["proxy", "failover", "health", "real-nodes"].map((name) => `test/gateway/${name}.test.ts`);

export default defineConfig({
  test: {
    projects: [
      {
        plugins: [cloudflareTest({ wrangler: { configPath: "./wrangler.toml" } })],
        test: {
          name: "gateway in workerd",
          include: ["test/gateway/*.test.ts"],
          exclude: OVER_SOCKETS,
          globalSetup: "test/gateway/silent-server.ts",
        },
      },
      {
        test: {
          name: "gateway over sockets",
          include: OVER_SOCKETS,
          globalSetup: "test/gateway/bundle.ts",
          testTimeout: 20_000,
          hookTimeout: 30_000,
        },
      },
    ],
  },
});
