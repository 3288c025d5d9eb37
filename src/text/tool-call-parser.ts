/** Finds the calls that a model writes as `<tool_call>{"name": ..., "arguments": ...}</tool_call>` in streamed text. */

export type ToolCallEvent =
  | { type: "text"; text: string }
  | { type: "call"; name: string }
  /** The next part of the newest call's arguments, as JSON text. */
  | { type: "arguments"; json: string };

export const CALL_OPEN = "<tool_call>";
export const CALL_CLOSE = "</tool_call>";
/** The order in which models write the two fields; another order is read when the call is whole. */
const HEAD = /^\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\S)/;

/** What a call without marks begins with, white space apart. */
const BARE_START = '{"name":"';
/** In UTF-16 units; a head that is not complete by then is none. */
const LONGEST_BARE_HEAD = 256;

/**
 * Small models leave the marks out: an answer that begins with a known function's call is read as one all the same.
 * Text outside calls passes; a call's arguments pass as they come. What looks like a call and is none, or names no known
 * function, passes as text: nothing that the model wrote is lost.
 */
export class ToolCallParser {
  private mode: "text" | "head" | "arguments" | "tail" = "text";
  private pending = "";
  /** Whether the call under way came without marks. */
  private bare = false;
  private wroteText = false;
  private readonly value = new JsonValueEnd();

  /** `begun` is the text that the answer was made to begin with; the model wrote what comes after it. */
  constructor(
    private readonly knownNames: ReadonlySet<string>,
    begun = "",
  ) {
    this.pending = begun;
  }

  push(text: string): ToolCallEvent[] {
    this.pending += text;
    const events: ToolCallEvent[] = [];
    while (this.advance(events));
    return events;
  }

  /** The text has ended: what was held back is no call. */
  end(): ToolCallEvent[] {
    const rest = this.mode === "head" ? CALL_OPEN + this.pending : this.mode === "text" ? this.pending : "";
    this.pending = "";
    this.mode = "text";
    return rest.trim() === "" ? [] : [{ type: "text", text: rest }];
  }

  /** Takes one thing from what is pending; false where more text is needed. */
  private advance(events: ToolCallEvent[]): boolean {
    switch (this.mode) {
      case "text":
        return this.takeText(events);
      case "head":
        return this.takeHead(events);
      case "arguments":
        return this.takeArguments(events);
      case "tail":
        return this.takeTail();
    }
  }

  private takeText(events: ToolCallEvent[]): boolean {
    if (!this.wroteText) {
      const start = this.takeBareStart(events);
      if (start !== "text") return start === "call";
    }
    const open = this.pending.indexOf(CALL_OPEN);
    // White space before a call belongs to the format; what may become the mark is held back too.
    const held = open >= 0 ? open : this.pending.length - partLength(this.pending);
    const text = this.pending.slice(0, held).trimEnd();
    if (text !== "") {
      events.push({ type: "text", text });
      this.wroteText = true;
    }
    this.pending = this.pending.slice(open >= 0 ? open + CALL_OPEN.length : text.length);
    if (open < 0) return false;
    this.mode = "head";
    this.bare = false;
    return true;
  }

  /** At the beginning of an answer, or right after a call: what comes there, as far as it can be told. */
  private takeBareStart(events: ToolCallEvent[]): "call" | "text" | "more" {
    const start = this.pending.trimStart();
    if (!start.startsWith("{")) return "text";
    const compact = start.slice(0, LONGEST_BARE_HEAD).replace(/\s/g, "");
    if (compact.length < BARE_START.length) return BARE_START.startsWith(compact) ? "more" : "text";
    if (!compact.startsWith(BARE_START)) return "text";
    const head = HEAD.exec(start);
    if (!head) return start.length < LONGEST_BARE_HEAD ? "more" : "text";
    const name = parsed(head[1] as string);
    if (typeof name !== "string" || !this.knownNames.has(name)) return "text";
    this.bare = true;
    this.beginArguments(events, name, start.slice(head[0].length));
    return "call";
  }

  private beginArguments(events: ToolCallEvent[], name: string, rest: string): void {
    events.push({ type: "call", name });
    this.pending = rest;
    this.value.restart();
    this.mode = "arguments";
  }

  private takeHead(events: ToolCallEvent[]): boolean {
    const head = HEAD.exec(this.pending);
    if (head) {
      const name = parsed(head[1] as string);
      if (typeof name !== "string" || !this.knownNames.has(name)) return this.giveUp(events);
      this.beginArguments(events, name, this.pending.slice(head[0].length));
      return true;
    }
    const close = this.pending.indexOf(CALL_CLOSE);
    if (close < 0) return false;
    const call = parsed(this.pending.slice(0, close)) as { name?: unknown; arguments?: unknown } | undefined;
    if (typeof call?.name !== "string" || !this.knownNames.has(call.name)) return this.giveUp(events);
    events.push({ type: "call", name: call.name });
    events.push({ type: "arguments", json: JSON.stringify(call.arguments ?? {}) });
    this.pending = this.pending.slice(close + CALL_CLOSE.length);
    this.mode = "text";
    return true;
  }

  private giveUp(events: ToolCallEvent[]): boolean {
    events.push({ type: "text", text: CALL_OPEN });
    this.wroteText = true;
    this.mode = "text";
    return true;
  }

  private takeArguments(events: ToolCallEvent[]): boolean {
    const length = this.value.lengthOf(this.pending);
    if (length > 0) events.push({ type: "arguments", json: this.pending.slice(0, length) });
    this.pending = this.pending.slice(length);
    if (!this.value.complete) return false;
    this.mode = "tail";
    return true;
  }

  /** Between the arguments and the closing mark only the call's own brace comes. */
  private takeTail(): boolean {
    if (this.bare) {
      const rest = this.pending.trimStart();
      if (rest === "") return false;
      this.pending = rest.startsWith("}") ? rest.slice(1) : rest;
      this.mode = "text";
      return true;
    }
    const close = this.pending.indexOf(CALL_CLOSE);
    if (close < 0) return false;
    this.pending = this.pending.slice(close + CALL_CLOSE.length);
    this.mode = "text";
    return true;
  }
}

/** Length of the end of `text` that may be the beginning of a call's mark. */
function partLength(text: string): number {
  for (let length = Math.min(CALL_OPEN.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(CALL_OPEN.slice(0, length))) return length;
  }
  return 0;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Finds where a JSON value ends, over text that comes in parts. */
class JsonValueEnd {
  complete = false;
  private depth = 0;
  private inString = false;
  private escaped = false;

  restart(): void {
    this.complete = false;
    this.depth = 0;
    this.inString = false;
    this.escaped = false;
  }

  /** How much of `text` belongs to the value. */
  lengthOf(text: string): number {
    for (let at = 0; at < text.length; at++) {
      const char = text[at] as string;
      if (this.inString) {
        if (this.escaped) this.escaped = false;
        else if (char === "\\") this.escaped = true;
        else if (char === '"') this.inString = false;
      } else if (char === '"') this.inString = true;
      else if (char === "{" || char === "[") this.depth++;
      else if (char === "}" || char === "]") {
        // A value that is no object or list ends before the call's own brace.
        if (this.depth === 0) return this.end(at);
        if (--this.depth === 0) return this.end(at + 1);
      }
    }
    return text.length;
  }

  private end(length: number): number {
    this.complete = true;
    return length;
  }
}
