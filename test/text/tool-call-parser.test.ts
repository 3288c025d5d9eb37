import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ToolCallEvent, ToolCallParser } from "../../src/text/tool-call-parser.js";

const NAMES = new Set(["add", "look_up"]);

interface Seen {
  text: string;
  calls: { name: string; json: string }[];
}

function parse(parts: readonly string[], begun = ""): Seen {
  const parser = new ToolCallParser(NAMES, begun);
  const events: ToolCallEvent[] = [...parts.flatMap((part) => parser.push(part)), ...parser.end()];
  const seen: Seen = { text: "", calls: [] };
  for (const event of events) {
    if (event.type === "text") seen.text += event.text;
    else if (event.type === "call") seen.calls.push({ name: event.name, json: "" });
    else (seen.calls.at(-1) as { json: string }).json += event.json;
  }
  return seen;
}

const call = (name: string, json: string) => `<tool_call>\n{"name": "${name}", "arguments": ${json}}\n</tool_call>`;

describe("ToolCallParser", () => {
  it("passes text as it is", () => {
    expect(parse(["a < b", " <tool", "s> ", "end"])).toEqual({ text: "a < b <tools> end", calls: [] });
    expect(parse(["cut <tool_c"])).toEqual({ text: "cut <tool_c", calls: [] });
  });

  it("finds calls, one after another, with text before them", () => {
    const text = `Let me see.\n${call("add", '{"a": 1, "b": "}\\"{"}')}\n${call("look_up", "[1, [2]]")}`;
    expect(parse([text])).toEqual({
      text: "Let me see.",
      calls: [
        { name: "add", json: '{"a": 1, "b": "}\\"{"}' },
        { name: "look_up", json: "[1, [2]]" },
      ],
    });
  });

  it("gives the same however the text is cut, and streams arguments as they come", () => {
    const text = `Now: ${call("add", '{"a": {"b": ["]", {}]}}')} ${call("add", "3")}`;
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 30 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), text.length];
        expect(parse(at.slice(1).map((end, index) => text.slice(at[index], end)))).toEqual(parse([text]));
      }),
    );
    const parser = new ToolCallParser(NAMES);
    parser.push('<tool_call>\n{"name": "add", "arguments": ');
    expect(parser.push('{"a": ')).toEqual([
      { type: "call", name: "add" },
      { type: "arguments", json: '{"a": ' },
    ]);
    expect(parser.push("1")).toEqual([{ type: "arguments", json: "1" }]);
  });

  it("reads the other order of the fields when the call is whole", () => {
    expect(parse(['<tool_call>{"arguments": {"a": 1}, "name": "add"}</tool_call>'])).toEqual({
      text: "",
      calls: [{ name: "add", json: '{"a":1}' }],
    });
  });

  it("goes on from the beginning that an answer was given", () => {
    const begun = '<tool_call>\n{"name": "add", "arguments": ';
    expect(parse(['{"a": 1}}\n</tool_call>'], begun).calls).toEqual([{ name: "add", json: '{"a": 1}' }]);
  });

  it("reads calls without marks where an answer begins with them, and no other JSON", () => {
    const bare = '{"name": "add", "arguments": {"a": 1}}';
    const calls = [{ name: "add", json: '{"a": 1}' }];
    expect(parse([bare])).toEqual({ text: "", calls });
    expect(parse([...bare])).toEqual({ text: "", calls });
    expect(parse([`${bare}\n${bare}`]).calls).toHaveLength(2);
    for (const text of [
      '{"name": "Ada", "age": 3}',
      '{"name": "other", "arguments": {}}',
      '{"a": 1}',
      '{"na',
      `As: ${bare}`,
    ]) {
      expect(parse([...text])).toEqual({ text, calls: [] });
    }
  });

  it("loses nothing that is no call", () => {
    for (const text of [call("unknown", "{}"), "<tool_call>nonsense</tool_call>", '<tool_call>\n{"name": "add"']) {
      expect(parse([text]).text.replace(/\s/g, "")).toBe(text.replace(/\s/g, ""));
      expect(parse([text]).calls).toEqual([]);
    }
  });
});
