import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { hasBuild, REAL_MODEL, type RealServer, startRealServer } from "../support/real-server.js";

describe.skipIf(!hasBuild())("wavekv serve", () => {
  let server: RealServer | null = null;
  afterEach(async () => {
    await server?.stop();
    server = null;
  });

  it("says what runs where, with a request to try, and ends with code 0 on SIGTERM", async () => {
    server = await startRealServer("--ctx-size", "1024");
    await expect.poll(() => server?.output()).toContain("is ready after");
    const output = server.output();
    for (const part of [REAL_MODEL, "1024 tokens", "cpu", "threads", `${server.url}/v1`])
      expect(output).toContain(part);
    const body = /-d '(.+)'/.exec(output)?.[1]?.replace(/"max_tokens":\d+/, '"max_tokens":8') ?? "";
    const answer = await fetch(`${server.url}/v1/chat/completions`, { method: "POST", body });
    expect(answer.status).toBe(200);
    expect(await server.stop()).toBe(0);
  });

  it("lets a running answer finish after SIGTERM", async () => {
    server = await startRealServer("--ctx-size", "1024");
    const body = JSON.stringify({ prompt: "Once upon a time", max_tokens: 60, temperature: 0, stream: true });
    const response = await fetch(`${server.url}/v1/completions`, { method: "POST", body });
    const stopped = server.stop("SIGINT");
    expect(await response.text()).toMatch(/"finish_reason":"(length|stop)"[\s\S]*data: \[DONE\]\n\n$/);
    expect(await stopped).toBe(0);
  });

  it("ends with code 0 on SIGTERM while it still loads", async () => {
    const child = spawn(process.execPath, ["dist/main.js", "serve", "--port", "0", "--model", REAL_MODEL]);
    const [printed] = (await once(child.stdout, "data")) as [Buffer];
    expect(printed.toString()).toContain("listens on");
    child.kill("SIGTERM");
    await once(child, "close");
    expect(child.exitCode).toBe(0);
  });

  it("ends with code 2 where the address is taken", async () => {
    server = await startRealServer("--ctx-size", "1024");
    const port = new URL(server.url).port;
    const child = spawn(process.execPath, ["dist/main.js", "serve", "--port", port]);
    const [stderr] = await Promise.all([text(child.stderr), once(child, "close")]);
    expect(stderr).toContain("--port");
    expect(child.exitCode).toBe(2);
  });

  it("ends with code 1 where the model cannot be loaded", async () => {
    const child = spawn(process.execPath, ["dist/main.js", "serve", "--port", "0", "--model", "package.json"]);
    const [stderr] = await Promise.all([text(child.stderr), once(child, "close")]);
    expect(stderr).toMatch(/cannot load .*package\.json/);
    expect(child.exitCode).toBe(1);
  });
});
