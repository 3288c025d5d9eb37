import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { CallerError } from "../errors.js";
import { EventQueue } from "./event-queue.js";
import type { EngineThreadData, FromEngine, ToEngine } from "./messages.js";
import type { EngineOptions } from "./options.js";
import type { EngineEvent, EngineHandle, EngineInfo, EngineStats, GenerateRequest } from "./types.js";

export type { EngineOptions } from "./options.js";

/** Starts the engine thread and loads the model. Rejects with the reason where it cannot run. */
export async function startEngine(options: EngineOptions): Promise<EngineHandle> {
  const worker = new Worker(threadFile(), { workerData: { options } satisfies EngineThreadData });
  const info = await new Promise<EngineInfo>((resolve, reject) => {
    worker.once("error", reject);
    worker.once("message", (message: FromEngine) => {
      worker.off("error", reject);
      if (message.type === "ready") resolve(message.info);
      else reject(new Error(message.type === "notLoaded" ? message.message : `unexpected message ${message.type}`));
    });
  });
  return new EngineClient(worker, info);
}

/** The compiled thread: beside this file, or in dist/ where this file runs from its source. */
function threadFile(): string {
  const beside = fileURLToPath(new URL("./engine-thread.js", import.meta.url));
  return existsSync(beside) ? beside : fileURLToPath(new URL("../../dist/engine/engine-thread.js", import.meta.url));
}

class EngineClient implements EngineHandle {
  private readonly requests = new Map<string, EventQueue>();
  private readonly statsCalls = new Map<number, (stats: EngineStats) => void>();
  private nextCallId = 0;
  private fault: Error | null = null;

  constructor(
    private readonly worker: Worker,
    readonly info: EngineInfo,
  ) {
    worker.on("message", (message: FromEngine) => this.receive(message));
    worker.on("error", (error) => this.die(error));
    worker.on("exit", () => this.die(new Error("the engine thread has ended")));
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<EngineEvent, void, void> {
    if (this.fault) throw new CallerError("service_unavailable", `the engine is down: ${this.fault.message}`);
    if (signal?.aborted) return;
    const queue = new EventQueue();
    this.requests.set(request.requestId, queue);
    const abort = () => queue.fail(new Error("cancelled"));
    signal?.addEventListener("abort", abort, { once: true });
    let ended = false;
    try {
      this.send({ type: "submit", request });
      while (!ended) {
        const event = await queue.next();
        ended = event.type === "finished";
        yield event;
      }
    } catch (error) {
      if (signal?.aborted) return;
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
      this.requests.delete(request.requestId);
      if (!ended && !this.fault) this.send({ type: "cancel", requestId: request.requestId });
    }
  }

  finish(requestId: string): void {
    if (!this.fault && this.requests.has(requestId)) this.send({ type: "finish", requestId });
  }

  stats(): Promise<EngineStats> {
    if (this.fault) return Promise.reject(this.fault);
    return new Promise((resolve) => {
      const callId = this.nextCallId++;
      this.statsCalls.set(callId, resolve);
      this.send({ type: "stats", callId });
    });
  }

  async close(): Promise<void> {
    if (this.fault) return;
    const ended = new Promise<void>((resolve) => this.worker.once("exit", () => resolve()));
    this.send({ type: "close" });
    await ended;
  }

  private send(message: ToEngine): void {
    this.worker.postMessage(message);
  }

  private receive(message: FromEngine): void {
    switch (message.type) {
      case "events":
        for (const { requestId, event } of message.events) this.requests.get(requestId)?.push(event);
        break;
      case "failed": {
        const { message: text, code, param } = message.failure;
        this.requests.get(message.requestId)?.fail(code ? new CallerError(code, text, param) : new Error(text));
        break;
      }
      case "stats":
        this.statsCalls.get(message.callId)?.(message.stats);
        this.statsCalls.delete(message.callId);
    }
  }

  private die(error: Error): void {
    this.fault ??= error;
    for (const queue of this.requests.values()) queue.fail(this.fault);
    this.requests.clear();
  }
}
