/** Functions that a model may call: what a request names, and how the prompt and the answer are made of it. */

import { randomUUID } from "node:crypto";
import type { TextConstraint } from "../engine/types.js";
import { CallerError } from "../errors.js";
import { CALL_CLOSE, CALL_OPEN, type ToolCallEvent, ToolCallParser } from "../text/tool-call-parser.js";
import type { ChatMessage } from "../text/types.js";
import type { PieceParser } from "./answer.js";
import type { ChoicePiece } from "./choice-result.js";
import { jsonThen } from "./constraints.js";
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
  /** Of a forced call of one function: that its arguments satisfy the function's schema, where a grammar can say so. */
  constraint?: TextConstraint | undefined;
  makeParser: (() => PieceParser) | undefined;
}

/** What follows a call's arguments. */
const CALL_END = `}\n${CALL_CLOSE}`;

const NO_TOOLS: ToolUse = { templateTools: undefined, begun: "", makeParser: undefined };

/** `param` is the field of the choice. Throws CallerError where the model was not made for tools, or the choice names none of them. */
export function toolUse(
  { chatTemplate, tokenizer }: ReadyNode,
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
  const forcedTool = forced ? onlyTool(choice, tools) : undefined;
  const begun = forced ? beginning(forcedTool) : "";
  return {
    templateTools: tools.map((tool) => ({ type: "function", function: definedFields(tool) })),
    begun,
    constraint: forcedTool && jsonThen(tokenizer, { type: "object", ...forcedTool.parameters }, CALL_END),
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

/** The function that must be called; undefined where the model is to choose. */
function onlyTool(choice: ToolChoice, tools: readonly FunctionTool[]): FunctionTool | undefined {
  if (choice.type === "function") return tools.find(({ name }) => name === choice.name);
  return tools.length === 1 ? tools[0] : undefined;
}

function beginning(tool: FunctionTool | undefined): string {
  return `${CALL_OPEN}\n{"name": ${tool ? `${JSON.stringify(tool.name)}, "arguments": ` : '"'}`;
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
