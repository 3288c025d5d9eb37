import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { CallerError } from "../errors.js";
import { Engine } from "./engine.js";
import { type LoadedModel, loadModel } from "./load.js";
import type { EngineFailure, EngineThreadData, FromEngine, ToEngine } from "./messages.js";
import type { EngineEvent } from "./types.js";

// The engine thread: takes messages between steps, and sleeps on the port when there is nothing to run.

const port = parentPort!;
const post = (message: FromEngine) => port.postMessage(message);
let stepEvents: { requestId: string; event: EngineEvent }[] = [];

function describe(error: Error): EngineFailure {
  const caller = error instanceof CallerError ? error : null;
  return { message: error.message, code: caller?.code ?? null, param: caller?.param ?? null };
}

function flushEvents(): void {
  if (stepEvents.length === 0) return;
  post({ type: "events", events: stepEvents });
  stepEvents = [];
}

function load(): LoadedModel | null {
  try {
    return loadModel((workerData as EngineThreadData).options);
  } catch (error) {
    post({ type: "notLoaded", message: (error as Error).message });
    return null;
  }
}

function serve(model: LoadedModel): void {
  const engine = new Engine(model, (workerData as EngineThreadData).options.attention, {
    event: (requestId, event) => stepEvents.push({ requestId, event }),
    failed: (requestId, error) => {
      flushEvents();
      post({ type: "failed", requestId, failure: describe(error) });
    },
  });
  let stepping = false;
  let closed = false;

  const handle = (message: ToEngine) => {
    switch (message.type) {
      case "submit":
        try {
          engine.submit(message.request);
        } catch (error) {
          post({ type: "failed", requestId: message.request.requestId, failure: describe(error as Error) });
        }
        break;
      case "cancel":
        engine.cancel(message.requestId);
        break;
      case "finish":
        engine.finishEarly(message.requestId);
        flushEvents();
        break;
      case "stats":
        post({ type: "stats", callId: message.callId, stats: engine.stats() });
        break;
      case "close":
        closed = true;
        model.close();
        port.close();
    }
  };

  const runSteps = () => {
    for (let waiting = receiveMessageOnPort(port); waiting; waiting = receiveMessageOnPort(port)) {
      handle(waiting.message as ToEngine);
    }
    if (closed) return;
    stepping = engine.step();
    flushEvents();
    if (stepping) setImmediate(runSteps);
    else engine.checkIntegrity();
  };

  port.on("message", (message: ToEngine) => {
    handle(message);
    if (!stepping && !closed) runSteps();
  });
  post({ type: "ready", info: model.info });
}

const model = load();
if (model) serve(model);
