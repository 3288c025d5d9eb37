/** Functions that a model may call: what a request names, and how the prompt and the answer are made of it. */

import { randomUUID } from "node:crypto";
import { CallerError } from "../errors.js";
import { CALL_OPEN, type ToolCallEvent, ToolCallParser } from "../text/tool-call-parser.js";
import type { ChatMessage } from "../text/types.js";
import type { PieceParser } from "./answer.js";
import type { ChoicePiece } from "./choice-result.js";
import type { ReadyNode } from "./node-state.js";

export interface FunctionTool {
  name: string;
  description?: string | undefined;
  /** A JSON schema. */
  parameters?: Record<string, unknown> | undefined;
}

/** Whether, and which, functions are to be called. */
export type ToolChoice = { type: "none" | "auto" | "required" } | { type: "function"; name: string };

export interface ToolUse {
  /** For the chat template; undefined where no tools are shown to the model. */
  templateTools: readonly object[] | undefined;
  /** What the answer is made to begin with, so that it is a call. */
  begun: string;
  makeParser: (() => PieceParser) | undefined;
}

const NO_TOOLS: ToolUse = { templateTools: undefined, begun: "", makeParser: undefined };

/** `param` is the field of the choice. Throws CallerError where the model was not made for tools, or the choice names none of them. */
export function toolUse(
  { chatTemplate }: ReadyNode,
  tools: readonly FunctionTool[],
  choice: ToolChoice,
  idPrefix: string,
  param = "tool_choice",
): ToolUse {
  const forced = choice.type === "required" || choice.type === "function";
  if (forced && tools.length === 0) {
    throw new CallerError("invalid_request_error", `'${param}' asks for a call, but there are no tools.`, param);
  }
  if (tools.length === 0 || choice.type === "none") return NO_TOOLS;
  if (!chatTemplate.usesTools) {
    const message = "This model's chat template has no place for tools: it was not made to call functions.";
    throw new CallerError("invalid_request_error", message, "tools");
  }
  const names = new Set(tools.map(({ name }) => name));
  if (choice.type === "function" && !names.has(choice.name)) {
    throw new CallerError(
      "invalid_request_error",
      `'${param}' names '${choice.name}', which is none of the tools.`,
      param,
    );
  }
  const begun = beginning(choice, tools);
  return {
    templateTools: tools.map((tool) => ({ type: "function", function: definedFields(tool) })),
    begun,
    makeParser: () => new CallPieces(new ToolCallParser(names, begun), idPrefix),
  };
}

/** A call of an earlier answer for the chat template, which writes the arguments as JSON itself. */
export function templateCall(
  id: string,
  name: string,
  json: string,
  param: string,
): NonNullable<ChatMessage["tool_calls"]>[number] {
  try {
    return { id, type: "function", function: { name, arguments: JSON.parse(json === "" ? "{}" : json) } };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const field = `${param}.function.arguments`;
    throw new CallerError("invalid_request_error", `Invalid value for '${field}': it is not JSON.`, field);
  }
}

function beginning(choice: ToolChoice, tools: readonly FunctionTool[]): string {
  const name = choice.type === "function" ? choice.name : tools.length === 1 ? tools[0]?.name : undefined;
  if (choice.type === "auto" || choice.type === "none") return "";
  return `${CALL_OPEN}\n{"name": ${name === undefined ? '"' : `${JSON.stringify(name)}, "arguments": `}`;
}

function definedFields({ name, description, parameters }: FunctionTool): object {
  return { name, ...(description !== undefined && { description }), ...(parameters !== undefined && { parameters }) };
}

/** Numbers the calls of an answer and gives them ids. */
class CallPieces implements PieceParser {
  #numCalls = 0;

  constructor(
    private readonly parser: ToolCallParser,
    private readonly idPrefix: string,
  ) {}

  push(text: string): ChoicePiece[] {
    return this.parser.push(text).map((event) => this.#piece(event));
  }

  end(): ChoicePiece[] {
    return this.parser.end().map((event) => this.#piece(event));
  }

  #piece(event: ToolCallEvent): ChoicePiece {
    if (event.type === "text") return { type: "text", text: event.text, tokens: [] };
    if (event.type === "arguments") {
      return { type: "toolArguments", callIndex: this.#numCalls - 1, json: event.json };
    }
    const id = `${this.idPrefix}${randomUUID().replaceAll("-", "")}`;
    return { type: "toolStart", callIndex: this.#numCalls++, id, name: event.name };
  }
}
