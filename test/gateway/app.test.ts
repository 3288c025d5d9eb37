import { describe, expect, it } from "vitest";
import { createApp } from "../../src/gateway/app.js";

const KEY = "client-key-0123456789";
// Port 9 (discard) is never reached: every request here is answered by the gateway itself.
const env = { NODES: "http://127.0.0.1:9", GATEWAY_KEYS: KEY, MAX_BODY_BYTES: "1024" };

async function ask(path: string, init: RequestInit = {}, bindings: Record<string, unknown> = env) {
  const response = await createApp().request(path, init, bindings);
  return { response, body: (await response.json()) as { error: Record<string, unknown> } };
}

describe("answers of the gateway itself, in the error shape of the API", () => {
  it("401 without an accepted key", async () => {
    const { response, body } = await ask("/v1/models");
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe('Bearer realm="wavekv"');
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(body).toEqual({
      error: { message: expect.any(String), type: "invalid_request_error", param: null, code: "invalid_api_key" },
    });
  });

  it("404 for an unknown route, /metrics among them", async () => {
    for (const path of ["/", "/v1/unknown", "/metrics", "/v1/models/", "/v1//models"]) {
      const { response, body } = await ask(path, { headers: { authorization: `Bearer ${KEY}` } });
      expect(response.status, path).toBe(404);
      expect(body.error).toMatchObject({ type: "invalid_request_error", code: "not_found" });
    }
  });

  it("405 for a known route with another method", async () => {
    const { response, body } = await ask("/v1/chat/completions");
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
    expect(body.error).toMatchObject({ code: "method_not_allowed" });
    expect((await ask("/health", { method: "POST" })).response.status).toBe(405);
  });

  it("413 for a body over the bound", async () => {
    const init = { method: "POST", body: "x".repeat(1025), headers: { authorization: `Bearer ${KEY}` } };
    const { response, body } = await ask("/v1/completions", init);
    expect(response.status).toBe(413);
    expect(body.error).toMatchObject({ type: "invalid_request_error", code: "request_too_large" });
    expect(body.error.message).toContain("1024");
  });

  it("500 for a bad configuration, naming the variable only", async () => {
    for (const path of ["/v1/models", "/health"]) {
      const { response, body } = await ask(path, {}, { ...env, NODES: "http://user:secret@host" });
      expect(response.status).toBe(500);
      expect(body.error).toMatchObject({ type: "server_error", code: "bad_gateway_configuration" });
      expect(body.error.message).toContain("NODES");
      expect(JSON.stringify(body)).not.toContain("secret");
    }
  });

  it("repeats the request's id, or makes one", async () => {
    const given = await ask("/nowhere", { headers: { "x-request-id": "trace-7" } });
    expect(given.response.headers.get("x-request-id")).toBe("trace-7");
    expect((await ask("/v1/models")).response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });
});
