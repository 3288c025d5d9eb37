/** What the node is doing: loading its model, serving it, or stopping. The listening socket outlives all three. */

import type { EngineHandle } from "../engine/types.js";
import { CallerError } from "../errors.js";
import type { ChatTemplate, Tokenizer } from "../text/types.js";

export interface ServedModel {
  /** The id that requests and responses carry. */
  id: string;
  /** Unix time, in seconds, of the model file. */
  createdSeconds: number;
}

/** Everything that answering a request needs. */
export interface ReadyNode {
  engine: EngineHandle;
  tokenizer: Tokenizer;
  chatTemplate: ChatTemplate;
  model: ServedModel;
}

export type NodePhase = "loading" | "ready" | "stopping";

/** One generation under way: its signal fires when the client leaves or the node gives up waiting for it. */
export interface ActiveGeneration {
  readonly signal: AbortSignal;
  /** Cancels the sequence. */
  cancel(): void;
  /** Must be called once, however the generation ends. */
  end(): void;
}

export class NodeState {
  #phase: NodePhase = "loading";
  #node: ReadyNode | null = null;
  readonly #active = new Set<AbortController>();
  #whenDrained: (() => void)[] = [];

  get phase(): NodePhase {
    return this.#phase;
  }

  get numActive(): number {
    return this.#active.size;
  }

  /** The node, once the model is loaded. */
  get node(): ReadyNode | null {
    return this.#node;
  }

  ready(node: ReadyNode): void {
    this.#node = node;
    if (this.#phase === "loading") this.#phase = "ready";
  }

  /** From now on new requests are refused; those under way go on. */
  stopping(): void {
    this.#phase = "stopping";
  }

  /** The node, or a 503 that says why there is none. */
  require(): ReadyNode {
    if (this.#phase === "stopping") throw new CallerError("service_unavailable", "The server is shutting down.");
    if (!this.#node) throw new CallerError("service_unavailable", "The server is loading its model.");
    return this.#node;
  }

  /** Registers a generation; `clientSignal` fires when its client disconnects. */
  begin(clientSignal: AbortSignal): ActiveGeneration {
    const controller = new AbortController();
    const cancel = () => controller.abort();
    if (clientSignal.aborted) cancel();
    clientSignal.addEventListener("abort", cancel, { once: true });
    this.#active.add(controller);
    return {
      signal: controller.signal,
      cancel,
      end: () => {
        clientSignal.removeEventListener("abort", cancel);
        this.#active.delete(controller);
        if (this.#active.size === 0) for (const resolve of this.#whenDrained.splice(0)) resolve();
      },
    };
  }

  /** Resolves when no generation is under way. */
  drained(): Promise<void> {
    if (this.#active.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenDrained.push(resolve));
  }

  cancelAll(): void {
    const reason = new CallerError("service_unavailable", "The server is shutting down.");
    for (const controller of this.#active) controller.abort(reason);
  }
}
