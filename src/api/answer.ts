/** Runs one generation and answers with it: as one JSON object, or as a stream of chunks. */

import type { Context } from "hono";
import { type AnswerHeader, type AnswerShape, usageFields } from "./answer-shapes.js";
import type { ApiContext, ApiEnv } from "./api-context.js";
import { errorResponse } from "./error-body.js";
import type { ActiveGeneration, ReadyNode } from "./node-state.js";
import { commentFrame, DONE_FRAME, dataFrame, frameBody, PING, SSE_HEADERS, within, withPings } from "./sse.js";
import { type FinishedAnswer, generateText, type TextEvent, type TextRequest } from "./text-generation.js";
import { wavekvObject } from "./wavekv-report.js";

/** How long a streamed answer waits for the engine's refusal, which can still have its own status, before the headers go. */
const ADMISSION_WAIT_MS = 500;
/** Nobody reads this status: the client has left. The log shows it. */
const CLIENT_CLOSED_REQUEST = 499;

export interface AnswerOptions {
  shape: AnswerShape;
  stream: boolean;
  includeUsage: boolean;
  /** The request's `wavekv.report`. */
  report: boolean;
}

interface Answered {
  header: AnswerHeader;
  events: AsyncGenerator<TextEvent, void>;
  generation: ActiveGeneration;
  pingIntervalMs: number;
}

export async function answer(
  c: Context<ApiEnv>,
  api: ApiContext,
  node: ReadyNode,
  request: TextRequest,
  options: AnswerOptions,
): Promise<Response> {
  const generation = api.state.begin(c.req.raw.signal);
  const header = { id: request.requestId, createdSeconds: Math.floor(Date.now() / 1000), model: node.model.id };
  const text = generateText(node, request, generation.signal);
  const answered: Answered = {
    header,
    events: measured(text, c, api),
    generation,
    pingIntervalMs: api.settings.pingIntervalMs,
  };
  return options.stream ? streamedAnswer(c, answered, options) : wholeAnswer(c, answered, options);
}

async function wholeAnswer(c: Context<ApiEnv>, { header, events, generation }: Answered, options: AnswerOptions) {
  try {
    let text = "";
    for await (const event of events) {
      if (event.type === "text") text += event.text;
      if (event.type !== "finished") continue;
      const whole = options.shape.whole(header, text, event.reason);
      return c.json({ ...whole, usage: usageFields(event.usage), wavekv: wavekvObject(event, options.report) });
    }
    return new Response(null, { status: CLIENT_CLOSED_REQUEST });
  } finally {
    generation.end();
  }
}

async function streamedAnswer(c: Context<ApiEnv>, answered: Answered, options: AnswerOptions): Promise<Response> {
  const first = answered.events.next();
  try {
    await within(first, ADMISSION_WAIT_MS);
  } catch (error) {
    answered.generation.end();
    throw error;
  }
  const frames = answerFrames(c, answered, first, options);
  return new Response(
    frameBody(frames, () => abandon(answered)),
    { headers: SSE_HEADERS },
  );
}

/** The reader left: cancels the sequence and lets its generator run to its end. */
async function abandon({ events, generation }: Answered): Promise<void> {
  generation.cancel();
  await events.return();
  generation.end();
}

/** After the first byte an error can only be an event: it is sent, and the stream ends without [DONE]. */
async function* answerFrames(
  c: Context<ApiEnv>,
  { header, events, generation, pingIntervalMs }: Answered,
  first: Promise<IteratorResult<TextEvent, void>>,
  options: AnswerOptions,
): AsyncGenerator<string, void, undefined> {
  const { shape } = options;
  let idle = "waiting";
  try {
    const opening = shape.opening(header);
    yield opening ? dataFrame(opening) : commentFrame(idle);
    for await (const event of withPings(events, first, pingIntervalMs)) {
      if (event === PING) yield commentFrame(idle);
      else if (event.type === "progress") idle = `prefill ${event.processed} of ${event.total} tokens`;
      else if (event.type === "finished") yield closingFrames(header, event, options);
      else if (event.text !== "") yield dataFrame(shape.delta(header, event.text));
    }
  } catch (error) {
    c.var.record.fail(error);
    generation.cancel();
    yield dataFrame(errorResponse(error).body);
  } finally {
    generation.end();
  }
}

/** The chunk with the finish reason and `wavekv`, the usage chunk where asked for, and the end of the stream. */
function closingFrames(header: AnswerHeader, finished: FinishedAnswer, options: AnswerOptions): string {
  const { shape, includeUsage, report } = options;
  const closing = dataFrame({ ...shape.closing(header, finished.reason), wavekv: wavekvObject(finished, report) });
  const usage = { ...shape.usageOnly(header), usage: usageFields(finished.usage) };
  return closing + (includeUsage ? dataFrame(usage) : "") + DONE_FRAME;
}

/** Passes events on, timing them for /metrics and counting them for the log. */
async function* measured(
  events: AsyncGenerator<TextEvent, void>,
  c: Context<ApiEnv>,
  { metrics }: ApiContext,
): AsyncGenerator<TextEvent, void, undefined> {
  const { record } = c.var;
  let previousMs: number | null = null;
  for await (const event of events) {
    const nowMs = performance.now();
    if (event.type === "text") {
      if (previousMs === null) metrics.timeToFirstToken.observe((nowMs - record.startMs) / 1000);
      else metrics.interToken.observe((nowMs - previousMs) / 1000);
      previousMs = nowMs;
    } else if (event.type === "finished") {
      record.usage = event.usage;
    }
    yield event;
  }
}
