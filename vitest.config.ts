import { defineConfig } from "vitest/config";

/** The gateway's tests run inside workerd and have a configuration of their own, vitest.gateway.config.ts. */
export default defineConfig({
  test: {
    coverage: { provider: "v8", include: ["src/**"], exclude: ["src/gateway/**"], reportsDirectory: "coverage" },
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/long/**", "test/gateway/**"],
          testTimeout: 30_000,
          hookTimeout: 60_000,
          // The native thread pool uses every core by itself; more workers only make tests wait for each other.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "long",
          include: ["test/long/**/*.test.ts"],
          testTimeout: 20 * 60_000,
          hookTimeout: 10 * 60_000,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
