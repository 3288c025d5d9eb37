/** Runs the choices of one request and answers with them: as one JSON object, or as a stream of frames. */

import type { Context } from "hono";
import type { ApiContext, ApiEnv } from "./api-context.js";
import {
  addPiece,
  type Choice,
  type ChoicePiece,
  type ChoiceResult,
  emptyResult,
  totalUsage,
} from "./choice-result.js";
import { mergedEvents } from "./merged-events.js";
import type { ActiveGeneration, ReadyNode } from "./node-state.js";
import type { Presenter } from "./presenter.js";
import { frameBody, PING, SSE_HEADERS, within, withPings } from "./sse.js";
import { generateText, type TextEvent } from "./text-generation.js";

/** How long a streamed answer waits for the engine's refusal, which can still have its own status, before the headers go. */
const ADMISSION_WAIT_MS = 500;
/** Nobody reads this status: the client has left. The log shows it. */
const CLIENT_CLOSED_REQUEST = 499;

/** Turns the text of one choice into pieces; `end` gives what it held back. */
export interface PieceParser {
  push(text: string): ChoicePiece[];
  end(): ChoicePiece[];
}

export interface AnswerOptions {
  presenter: Presenter;
  stream: boolean;
  /** One for each choice; absent where text is only text. */
  makeParser?: (() => PieceParser) | undefined;
}

type ChoiceEvents = AsyncGenerator<{ index: number; event: TextEvent }, void, undefined>;

interface Answered {
  choices: readonly Choice[];
  results: ChoiceResult[];
  parsers: readonly (PieceParser | undefined)[];
  events: ChoiceEvents;
  generation: ActiveGeneration;
  presenter: Presenter;
}

export async function answer(
  c: Context<ApiEnv>,
  api: ApiContext,
  node: ReadyNode,
  choices: readonly Choice[],
  options: AnswerOptions,
): Promise<Response> {
  const generation = api.state.begin(c.req.raw.signal);
  const sources = choices.map(({ request }) => measured(generateText(node, request, generation.signal), c, api));
  const answered: Answered = {
    choices,
    results: choices.map((_, index) => emptyResult(index)),
    parsers: choices.map(() => options.makeParser?.()),
    events: mergedEvents(sources, generation.cancel),
    generation,
    presenter: options.presenter,
  };
  return options.stream ? streamedAnswer(c, api, answered) : wholeAnswer(c, answered);
}

async function wholeAnswer(c: Context<ApiEnv>, answered: Answered) {
  const { choices, results, events, generation, presenter } = answered;
  try {
    for await (const { index, event } of events) {
      for (const piece of takeEvent(answered, index, event)) addPiece(results[index] as ChoiceResult, piece);
    }
    if (results.some(({ finished }) => finished === null)) return new Response(null, { status: CLIENT_CLOSED_REQUEST });
    const usage = totalUsage(choices, results);
    c.var.record.usage = usage;
    return c.json(presenter.whole(results, usage));
  } finally {
    generation.end();
  }
}

async function streamedAnswer(c: Context<ApiEnv>, api: ApiContext, answered: Answered): Promise<Response> {
  const first = answered.events.next();
  try {
    await within(first, ADMISSION_WAIT_MS);
  } catch (error) {
    answered.generation.end();
    throw error;
  }
  const frames = answerFrames(c, api.settings.pingIntervalMs, answered, first);
  return new Response(
    frameBody(frames, () => abandon(answered)),
    { headers: SSE_HEADERS },
  );
}

/** The reader left: cancels the sequences and lets their generators run to their end. */
async function abandon({ events, generation }: Answered): Promise<void> {
  generation.cancel();
  await events.return();
  generation.end();
}

/** After the first byte an error can only be an event: it is sent, and the stream ends without its end. */
async function* answerFrames(
  c: Context<ApiEnv>,
  pingIntervalMs: number,
  answered: Answered,
  first: ReturnType<ChoiceEvents["next"]>,
): AsyncGenerator<string, void, undefined> {
  const { choices, results, events, generation, presenter } = answered;
  let idle = "waiting";
  try {
    yield presenter.open() || presenter.ping(idle);
    for await (const item of withPings(events, first, pingIntervalMs)) {
      if (item === PING) {
        yield presenter.ping(idle);
        continue;
      }
      const { index, event } = item;
      if (event.type === "progress") idle = `prefill ${event.processed} of ${event.total} tokens`;
      const frames = eventFrames(answered, index, event);
      if (frames !== "") yield frames;
    }
    if (results.some(({ finished }) => finished === null)) return;
    const usage = totalUsage(choices, results);
    c.var.record.usage = usage;
    yield presenter.end(results, usage);
  } catch (error) {
    c.var.record.fail(error);
    generation.cancel();
    yield presenter.error(error);
  } finally {
    generation.end();
  }
}

function eventFrames(answered: Answered, index: number, event: TextEvent): string {
  const { results, presenter } = answered;
  if (event.type === "progress") return presenter.progress(index, event);
  const result = results[index] as ChoiceResult;
  let frames = "";
  for (const piece of takeEvent(answered, index, event)) {
    addPiece(result, piece);
    frames += presenter.piece(index, piece);
  }
  return event.type === "finished" ? frames + presenter.finish(result) : frames;
}

/** The pieces that an event completes; the last event is noted in the choice's result. */
function takeEvent({ parsers, results }: Answered, index: number, event: TextEvent): ChoicePiece[] {
  const parser = parsers[index];
  if (event.type === "finished") {
    (results[index] as ChoiceResult).finished = event;
    return parser?.end() ?? [];
  }
  if (event.type === "progress" || (event.text === "" && event.tokens.length === 0)) return [];
  return parser ? parser.push(event.text) : [event];
}

/** Passes events on, timing them for /metrics. */
async function* measured(
  events: AsyncGenerator<TextEvent, void>,
  c: Context<ApiEnv>,
  { metrics }: ApiContext,
): AsyncGenerator<TextEvent, void, undefined> {
  const { record } = c.var;
  let previousMs: number | null = null;
  for await (const event of events) {
    if (event.type === "text") {
      const nowMs = performance.now();
      if (previousMs === null) metrics.timeToFirstToken.observe((nowMs - record.startMs) / 1000);
      else metrics.interToken.observe((nowMs - previousMs) / 1000);
      previousMs = nowMs;
    }
    yield event;
  }
}
