import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ServedFile {
  content: Buffer;
  /** The hash that the hub's list gives; by default the true one. */
  sha256?: string;
  /** The size that the list gives; by default the true one. */
  sizeBytes?: number;
  /** The connection is cut after so many bytes of a body. */
  cutAfterBytes?: number;
  /** Ranges are ignored: each answer is 200 with the whole file. */
  ignoreRange?: boolean;
  /** Pause before the body, so that two fetches overlap. */
  delayMs?: number;
}

/** A model hub on 127.0.0.1: the list of files, and the files with ranges. It keeps what it was asked. */
export class LocalHub {
  /** `range` header of each request for a file; null where there was none. */
  readonly ranges: (string | null)[] = [];
  numLists = 0;
  readonly files = new Map<string, ServedFile>();
  readonly #server: Server;

  constructor(
    readonly repository: string,
    readonly revision = "main",
  ) {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(new URL(request.url ?? "/", this.url).pathname);
    if (path === `/api/models/${this.repository}/tree/${this.revision}`) {
      this.numLists++;
      const entries = [...this.files].map(([name, file]) => {
        const size = file.sizeBytes ?? file.content.length;
        const oid = file.sha256 ?? createHash("sha256").update(file.content).digest("hex");
        return { type: "file", path: name, size, oid: "0", lfs: { oid, size, pointerSize: 130 } };
      });
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(entries));
      return;
    }
    const prefix = `/${this.repository}/resolve/${this.revision}/`;
    const file = path.startsWith(prefix) ? this.files.get(path.slice(prefix.length)) : undefined;
    if (file) setTimeout(() => this.#send(file, request, response), file.delayMs ?? 0);
    else response.writeHead(404).end();
  }

  #send(file: ServedFile, request: IncomingMessage, response: ServerResponse): void {
    const range = request.headers.range ?? null;
    this.ranges.push(range);
    const total = file.content.length;
    const start = file.ignoreRange ? 0 : Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
    const body = file.content.subarray(start);
    if (start > 0) {
      response.writeHead(206, {
        "content-length": body.length,
        "content-range": `bytes ${start}-${total - 1}/${total}`,
      });
    } else {
      response.writeHead(200, { "content-length": body.length });
    }
    if (file.cutAfterBytes !== undefined && body.length > file.cutAfterBytes) {
      response.write(body.subarray(0, file.cutAfterBytes), () => setTimeout(() => response.destroy(), 20));
    } else {
      response.end(body);
    }
  }
}
