import { describe, expect, it } from "vitest";
import { keyDigest } from "../../src/gateway/auth.js";
import { type GatewayEnv, loadConfig, parseConfig } from "../../src/gateway/config.js";

const KEY = "client-key-0123456789";
const env: GatewayEnv = { NODES: "http://a:8080", GATEWAY_KEYS: KEY };

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

describe("parseConfig", () => {
  it("fills in the defaults and keeps no key in the clear", async () => {
    const config = await parseConfig(env);
    expect(config).toMatchObject({
      nodeApiKey: null,
      connectTimeoutMs: 3000,
      maxBodyBytes: 16 * 1024 * 1024,
      routingPrefixBytes: 4096,
    });
    expect(hex(config.keyDigests[0]!)).toBe(hex(await keyDigest(KEY)));
    expect(JSON.stringify(config)).not.toContain(KEY);
  });

  it("takes keys as a comma list, a JSON list, and as digests", async () => {
    const digest = hex(await keyDigest(KEY)).toUpperCase();
    for (const keys of [
      `${KEY}, another-key-9876543`,
      [KEY, "another-key-9876543"],
      JSON.stringify([KEY, "another-key-9876543"]),
    ]) {
      const config = await parseConfig({ ...env, GATEWAY_KEYS: keys });
      expect(config.keyDigests.map(hex)).toEqual([digest.toLowerCase(), hex(await keyDigest("another-key-9876543"))]);
    }
    const config = await parseConfig({ ...env, GATEWAY_KEYS: `sha256:${digest}` });
    expect(hex(config.keyDigests[0]!)).toBe(digest.toLowerCase());
  });

  it("takes numbers as text and as numbers, at their bounds", async () => {
    const config = await parseConfig({
      ...env,
      CONNECT_TIMEOUT_MS: "50",
      MAX_BODY_BYTES: 1024,
      ROUTING_PREFIX_BYTES: "65536",
    });
    expect(config).toMatchObject({ connectTimeoutMs: 50, maxBodyBytes: 1024, routingPrefixBytes: 65536 });
  });

  it.each([
    ["GATEWAY_KEYS", undefined, "not set"],
    ["GATEWAY_KEYS", " ,", "names no key"],
    ["GATEWAY_KEYS", 7, "neither text nor a list"],
    ["GATEWAY_KEYS", "[secret", "not JSON"],
    ["GATEWAY_KEYS", `${KEY},secret`, "entry 2 is shorter than 16 characters"],
    ["GATEWAY_KEYS", "sha256:secret", "entry 1 has no 64 hexadecimal digits"],
    ["GATEWAY_KEYS", "secret key with blanks", "entry 1 has a character that no header can carry"],
    ["GATEWAY_KEYS", [1], "entry 1 is not text"],
    ["NODE_API_KEY", "secret key", "not printable ASCII"],
    ["CONNECT_TIMEOUT_MS", "49", "from 50 to 60000"],
    ["MAX_BODY_BYTES", "1e6", "from 1024 to"],
    ["MAX_BODY_BYTES", 1024.5, "from 1024 to"],
    ["ROUTING_PREFIX_BYTES", "secret", "from 64 to 65536"],
    ["NODES", undefined, "not set"],
  ])("refuses %s = %j, naming the variable and not the value", async (variable, value, reason) => {
    const error: Error = await parseConfig({ ...env, [variable]: value }).then(
      () => Promise.reject(new Error("accepted")),
      (thrown) => thrown,
    );
    expect(error.message).toContain(`variable ${variable} is not valid`);
    expect(error.message).toContain(reason);
    expect(error.message).not.toContain("secret");
  });
});

describe("loadConfig", () => {
  it("parses one set of bindings once", async () => {
    expect(await loadConfig(env)).toBe(await loadConfig(env));
    expect(await loadConfig({ ...env })).not.toBe(await loadConfig(env));
  });
});
