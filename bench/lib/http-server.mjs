// @ts-check
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";

const READY_TIMEOUT_MS = 120_000;

/** An OpenAI-compatible server in a process of its own, on a free port of this machine. */
export class HttpServer {
  /** @param {string} name @param {import("node:child_process").ChildProcess} child @param {number} port */
  constructor(name, child, port) {
    this.name = name;
    this.child = child;
    this.url = `http://127.0.0.1:${port}`;
    this.exited = once(child, "exit");
    this.model = "";
  }

  /** Resolves when GET /health answers 200. @param {string} name @param {string} file @param {string[]} args */
  static async start(name, file, args) {
    const port = await freePort();
    const child = spawn(file, [...args, "--port", String(port)], { stdio: ["ignore", "ignore", "pipe"] });
    let log = "";
    child.stderr?.on("data", (text) => {
      log = `${log}${text}`.slice(-4000);
    });
    const server = new HttpServer(name, child, port);
    for (const deadline = Date.now() + READY_TIMEOUT_MS; ; ) {
      if (child.exitCode !== null || Date.now() > deadline) {
        child.kill();
        throw new Error(`${name} did not become ready:\n${log}`);
      }
      const ready = await fetch(`${server.url}/health`)
        .then(({ status }) => status === 200)
        .catch(() => false);
      if (ready) {
        const models = /** @type {any} */ (await (await fetch(`${server.url}/v1/models`)).json());
        server.model = models.data[0].id;
        return server;
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /**
   * A greedy completion: its text, and when each token came, in ms.
   *
   * @param {string} prompt @param {number} maxTokens
   */
  async complete(prompt, maxTokens) {
    const body = JSON.stringify({ model: this.model, prompt, max_tokens: maxTokens, temperature: 0, stream: true });
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${this.url}/v1/completions`, { method: "POST", headers, body });
    if (!response.ok || !response.body) throw new Error(`${this.name}: ${response.status} ${await response.text()}`);
    const times = [];
    let text = "";
    for await (const line of createInterface({ input: Readable.fromWeb(/** @type {any} */ (response.body)) })) {
      if (!line.startsWith("data: {")) continue;
      const event = JSON.parse(line.slice("data: ".length));
      if (event.error) throw new Error(`${this.name}: ${line}`);
      const piece = event.choices?.[0]?.text ?? "";
      if (piece === "") continue;
      text += piece;
      times.push(performance.now());
    }
    return { text, times };
  }

  async close() {
    this.child.kill();
    await this.exited;
  }
}

/** @returns {Promise<number>} */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  await new Promise((resolve) => server.close(resolve));
  return port;
}
