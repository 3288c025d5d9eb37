import { pino } from "pino";
import { expect } from "vitest";
import type { ApiSettings } from "../../src/api/api-context.js";
import { createApp } from "../../src/api/app.js";
import type { ErrorBody } from "../../src/api/error-body.js";
import { NodeMetrics } from "../../src/api/metrics.js";
import { NodeState } from "../../src/api/node-state.js";
import { listen, type NodeServer } from "../../src/api/server.js";
import type { EngineHandle } from "../../src/engine/types.js";
import { createByteModel } from "./byte-model.js";

export interface TestServer {
  url: string;
  state: NodeState;
  server: NodeServer;
  /** Log lines, parsed. */
  logs: Record<string, unknown>[];
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

export const TEST_MODEL = "byte-model";

/** A real listening socket in front of `engine`, with the byte vocabulary; null leaves the node loading. */
export async function startTestServer(
  engine: EngineHandle | null,
  settings: Partial<ApiSettings> = {},
): Promise<TestServer> {
  const logs: Record<string, unknown>[] = [];
  const logger = pino({ level: "debug" }, { write: (line: string) => void logs.push(JSON.parse(line)) });
  const state = new NodeState();
  const full: ApiSettings = { apiKey: null, pingIntervalMs: 5_000, ...settings };
  const app = createApp({ state, settings: full, logger, metrics: new NodeMetrics() });
  const server = await listen(app, state, { host: "127.0.0.1", port: 0 });
  if (engine) state.ready({ engine, ...createByteModel(), model: { id: TEST_MODEL, createdSeconds: 1_700_000_000 } });
  return {
    url: server.url,
    state,
    server,
    logs,
    post: (path, body, init) =>
      fetch(`${server.url}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
        ...init,
      }),
    close: () => server.close(0),
  };
}

/** The fields of a chunk, or of an error event, that tests look at. */
export interface Chunk {
  id: string;
  object: string;
  choices: { text?: string; delta?: { role?: string; content?: string }; finish_reason: string | null }[];
  usage?: Record<string, unknown>;
  wavekv?: Record<string, unknown>;
  error?: ErrorBody["error"];
}

/** A JSON body, as whatever the test expects of it. */
export async function bodyOf<Body = Chunk>(response: Response): Promise<Body> {
  return (await response.json()) as Body;
}

/** The error of a refusal, which must be all that its body holds, in OpenAI's shape. */
export async function errorOf(response: Response): Promise<ErrorBody["error"]> {
  const body = await bodyOf<ErrorBody>(response);
  expect(Object.keys(body)).toEqual(["error"]);
  expect(Object.keys(body.error).sort()).toEqual(["code", "message", "param", "type"]);
  return body.error;
}

export interface SseEvents {
  /** Parsed payloads of `data:` lines, without [DONE]. */
  data: Chunk[];
  comments: string[];
  done: boolean;
}

/** Splits a whole event stream; throws on anything that is not a data line or a comment. */
export function parseSse(text: string): SseEvents {
  const events: SseEvents = { data: [], comments: [], done: false };
  for (const block of text.split("\n\n").slice(0, -1)) {
    if (events.done) throw new Error(`after [DONE]: ${block}`);
    if (block.startsWith(": ")) events.comments.push(block.slice(2));
    else if (block === "data: [DONE]") events.done = true;
    else if (block.startsWith("data: ")) events.data.push(JSON.parse(block.slice(6)));
    else throw new Error(`not an event: ${JSON.stringify(block)}`);
  }
  if (!text.endsWith("\n\n")) throw new Error("the stream ends inside an event");
  return events;
}

/** Polls until `condition` holds. */
export async function until(condition: () => boolean, limitMs = 5_000): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`not so within ${limitMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
