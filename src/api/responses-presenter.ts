/** Answers in the shape of OpenAI's Responses API: output items, whole and as its sequence of numbered events. */

import { randomUUID } from "node:crypto";
import type { ChoicePiece, ChoiceResult } from "./choice-result.js";
import { errorResponse } from "./error-body.js";
import type { Presenter } from "./presenter.js";
import type { ResponsesRequest } from "./schemas/responses-request.js";
import { commentFrame, eventFrame } from "./sse.js";
import type { FinishedAnswer, Usage } from "./text-generation.js";
import { type WavekvResponse, wavekvObject } from "./wavekv-report.js";

type ItemStatus = "in_progress" | "completed" | "incomplete";

interface MessageItem {
  type: "message";
  id: string;
  status: ItemStatus;
  role: "assistant";
  content: { type: "output_text"; text: string; annotations: []; logprobs: [] }[];
}

interface CallItem {
  type: "function_call";
  id: string;
  status: ItemStatus;
  call_id: string;
  name: string;
  arguments: string;
}

export class ResponsesPresenter implements Presenter {
  readonly #createdSeconds = Math.floor(Date.now() / 1000);
  readonly #output: (MessageItem | CallItem)[] = [];
  #numEvents = 0;
  #wavekv: WavekvResponse | null = null;

  constructor(
    private readonly id: string,
    private readonly model: string,
    private readonly request: ResponsesRequest,
  ) {}

  whole([result]: readonly ChoiceResult[], usage: Usage): object {
    const { text, toolCalls } = result as ChoiceResult;
    // The stream's events are made on the way to the same items, and left.
    if (text !== "" || toolCalls.length === 0) this.piece(0, { type: "text", text, tokens: [] });
    for (const [callIndex, { id, name, arguments: json }] of toolCalls.entries()) {
      this.piece(0, { type: "toolStart", callIndex, id, name });
      this.piece(0, { type: "toolArguments", callIndex, json });
    }
    this.finish(result as ChoiceResult);
    return this.#final(result as ChoiceResult, usage);
  }

  open(): string {
    const response = this.#response("in_progress");
    return this.#event("response.created", { response }) + this.#event("response.in_progress", { response });
  }

  progress(): string {
    return "";
  }

  ping(idle: string): string {
    return commentFrame(idle);
  }

  piece(_index: number, piece: ChoicePiece): string {
    if (piece.type === "toolStart") {
      return this.#closeItem("completed") + this.#addCall(piece.id, piece.name);
    }
    const open = this.#open();
    if (piece.type === "toolArguments") {
      const item = open as CallItem;
      item.arguments += piece.json;
      return this.#itemEvent("response.function_call_arguments.delta", { item_id: item.id, delta: piece.json });
    }
    const added = open?.type === "message" ? "" : this.#closeItem("completed") + this.#addMessage();
    const item = this.#open() as MessageItem;
    (item.content[0] as { text: string }).text += piece.text;
    const fields = { item_id: item.id, content_index: 0, delta: piece.text, logprobs: [] };
    return added + this.#itemEvent("response.output_text.delta", fields);
  }

  finish({ finished }: ChoiceResult): string {
    this.#wavekv = wavekvObject(finished as FinishedAnswer, this.request.wavekv?.report === true);
    return this.#closeItem(finished?.reason === "length" ? "incomplete" : "completed");
  }

  end([result]: readonly ChoiceResult[], usage: Usage): string {
    const type = result?.finished?.reason === "length" ? "response.incomplete" : "response.completed";
    return this.#event(type, { response: this.#final(result as ChoiceResult, usage) });
  }

  error(error: unknown): string {
    const { message, code, param, type } = errorResponse(error).body.error;
    return this.#event("error", { code: code ?? type, message, param });
  }

  #open(): MessageItem | CallItem | undefined {
    const last = this.#output.at(-1);
    return last?.status === "in_progress" ? last : undefined;
  }

  #addMessage(): string {
    const content = { type: "output_text" as const, text: "", annotations: [] as [], logprobs: [] as [] };
    const item: MessageItem = {
      type: "message",
      id: newId("msg"),
      status: "in_progress",
      role: "assistant",
      content: [],
    };
    this.#output.push(item);
    const added = this.#itemEvent("response.output_item.added", { item });
    const part = this.#itemEvent("response.content_part.added", { item_id: item.id, content_index: 0, part: content });
    item.content.push(content);
    return added + part;
  }

  #addCall(call_id: string, name: string): string {
    const item: CallItem = {
      type: "function_call",
      id: newId("fc"),
      status: "in_progress",
      call_id,
      name,
      arguments: "",
    };
    this.#output.push(item);
    return this.#itemEvent("response.output_item.added", { item });
  }

  #closeItem(status: ItemStatus): string {
    const item = this.#open();
    if (!item) return "";
    item.status = status;
    const done = () => this.#itemEvent("response.output_item.done", { item });
    if (item.type === "function_call") {
      const fields = { item_id: item.id, name: item.name, arguments: item.arguments };
      return this.#itemEvent("response.function_call_arguments.done", fields) + done();
    }
    const [part] = item.content as [MessageItem["content"][number]];
    const at = { item_id: item.id, content_index: 0 };
    return (
      this.#itemEvent("response.output_text.done", { ...at, text: part.text, logprobs: [] }) +
      this.#itemEvent("response.content_part.done", { ...at, part }) +
      done()
    );
  }

  #itemEvent(type: string, fields: object): string {
    return this.#event(type, { output_index: this.#output.length - 1, ...fields });
  }

  #event(type: string, fields: object): string {
    return eventFrame({ type, sequence_number: this.#numEvents++, ...fields });
  }

  #final({ finished }: ChoiceResult, usage: Usage): object {
    const cut = finished?.reason === "length";
    return {
      ...this.#response(cut ? "incomplete" : "completed"),
      incomplete_details: cut ? { reason: "max_output_tokens" } : null,
      output: this.#output,
      usage: {
        input_tokens: usage.promptTokens,
        input_tokens_details: { cached_tokens: usage.cachedTokens },
        output_tokens: usage.completionTokens,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: usage.promptTokens + usage.completionTokens,
      },
      wavekv: this.#wavekv,
    };
  }

  #response(status: string): object {
    const { request } = this;
    return {
      id: this.id,
      object: "response",
      created_at: this.#createdSeconds,
      status,
      error: null,
      incomplete_details: null,
      instructions: request.instructions ?? null,
      max_output_tokens: request.max_output_tokens ?? null,
      model: this.model,
      output: [],
      parallel_tool_calls: true,
      previous_response_id: null,
      store: false,
      temperature: request.temperature ?? 1,
      text: { format: request.text?.format ?? { type: "text" } },
      tool_choice: request.tool_choice ?? "auto",
      tools: request.tools ?? [],
      top_p: request.top_p ?? 1,
      truncation: "disabled",
      usage: null,
      metadata: request.metadata ?? {},
    };
  }
}

function newId(prefix: string): string {
  return `${prefix}_${randomUUID().replaceAll("-", "")}`;
}
