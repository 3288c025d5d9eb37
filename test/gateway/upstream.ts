import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What an upstream saw of one request. */
export interface SeenRequest {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** Resolves when the connection closes before the response was finished. */
  disconnected: Promise<void>;
}

export interface Upstream {
  url: string;
  seen: SeenRequest[];
  /** Resolves with the request of that index, also one still to come. */
  request(index: number): Promise<SeenRequest>;
  close(): Promise<void>;
}

type Answer = (response: ServerResponse, seen: SeenRequest) => void;

/** A real HTTP server on a port of its own, playing a node that answers as the test says; /health is not recorded. */
export async function startUpstream(answer: Answer, healthStatus = 200, port = 0): Promise<Upstream> {
  const seen: SeenRequest[] = [];
  const waiting: (() => void)[] = [];
  const server = createServer(async (request, response) => {
    const disconnected = new Promise<void>((resolve) => {
      response.on("close", () => response.writableFinished || resolve());
    });
    if (request.url === "/health") {
      response.writeHead(healthStatus).end('{"status":"from upstream"}');
      return;
    }
    const { method = "", url = "", headers } = request;
    const record = { method, url, headers, body: await readAll(request), disconnected };
    seen.push(record);
    for (const wake of waiting.splice(0)) wake();
    answer(response, record);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async request(index) {
      while (!seen[index]) await new Promise<void>((resolve) => waiting.push(resolve));
      return seen[index];
    },
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      }),
  };
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A port of loopback on which nothing listens: connecting to it is refused. */
export async function refusedUrl(): Promise<string> {
  const upstream = await startUpstream(() => undefined);
  await upstream.close();
  return upstream.url;
}
