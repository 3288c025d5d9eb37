import { describe, expect, it } from "vitest";
import { DEAD, type GrammarState, GrammarStates } from "../../src/text/byte-grammar.js";
import { jsonObjectGrammar, jsonSchemaGrammar, SchemaError } from "../../src/text/json-grammar.js";

/** Whether the grammar takes the whole text. */
function accepts(states: GrammarStates, text: string): boolean {
  let state = states.start;
  for (const byte of Buffer.from(text)) {
    state = states.step(state, byte);
    if (state === DEAD) return false;
  }
  return (states.states[state] as GrammarState).accepts;
}

const tree = {
  $ref: "#/$defs/node",
  $defs: {
    node: {
      type: "object",
      properties: { value: { type: "integer" }, next: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] } },
      required: ["value", "next"],
      additionalProperties: false,
    },
  },
};
const person = {
  type: "object",
  properties: {
    name: { type: "string" },
    age: { type: "integer" },
    tags: { type: "array", items: { enum: ["a", "b"] } },
  },
  required: ["age"],
};

describe("the grammar of a schema", () => {
  it.each([
    [
      person,
      ['{"age":3}', '{"name": "Ada", "age": 36}', '{ "age": 1,\n  "tags": ["a","b", "a"] }', '{"age":-0}'],
      [
        "{}",
        '{"name":"x"}',
        '{"age":"3"}',
        '{"age":1,"age":2}',
        '{"age":1,}',
        '{"age":1.5}',
        '{"age":01}',
        '{"tags":[],"age":1}',
        '{"age":1,"tags":["c"]}',
        '{"age":1} ',
      ],
    ],
    [{ type: "string" }, ['""', '"é😀\\n\\u00e9"', '"\\\\"'], ['"', '"\n"', '"\\x"', '"\\ud800"', "'a'"]],
    [{ type: "string", minLength: 2, maxLength: 3 }, ['"ab"', '"😀😀é"', '"\\n\\"x"'], ['"a"', '"abcd"', '""']],
    [{ type: "number" }, ["0", "-1.5", "2e10", "1E-3"], ["1.", ".5", "+1", "1e", "NaN", "--1"]],
    [{ type: ["boolean", "null"] }, ["true", "false", "null"], ["True", "0", "nul"]],
    [
      { type: "array", items: { type: "integer" }, minItems: 1, maxItems: 2 },
      ["[1]", "[1,2]", "[ 1 , 2 ]"],
      ["[]", "[1,2,3]", "[1,]"],
    ],
    [{ type: "array", maxItems: 0 }, ["[]", "[ ]"], ["[1]"]],
    [{ enum: ["x", 1, null, { a: [1] }] }, ['"x"', "1", "null", '{"a":[1]}'], ['"y"', "2", '{"a":[2]}']],
    [{ const: 'q"' }, ['"q\\""'], ['"q"']],
    [{ type: "object", additionalProperties: { type: "boolean" } }, ["{}", '{"a":true, "b":false}'], ['{"a":1}']],
    [{ type: "object", properties: {}, additionalProperties: false }, ["{}"], ['{"a":1}']],
    [{ type: "object", properties: { a: true }, required: ["a"] }, ['{"a":[{"b":null}]}'], ["{}"]],
    [{ allOf: [{ type: "null" }] }, ["null"], ["1"]],
    [
      tree,
      ['{"value":1,"next":null}', '{"value":1,"next":{"value":2,"next":null}}'],
      ['{"value":1}', '{"value":1,"next":{}}'],
    ],
    [{}, ["1", '"a"', "[]", '{"a":[1,{"b":"c"}]}'], ["", "a", "[1"]],
  ] as [object, string[], string[]][])("%j", (schema, good, bad) => {
    const states = new GrammarStates(jsonSchemaGrammar(schema));
    for (const text of good) {
      expect(() => JSON.parse(text)).not.toThrow();
      expect([text, accepts(states, text)]).toEqual([text, true]);
    }
    for (const text of bad) expect([text, accepts(states, text)]).toEqual([text, false]);
  });

  it("of any object takes objects alone", () => {
    const states = new GrammarStates(jsonObjectGrammar());
    expect(accepts(states, '{"a": {"b": [true, -1.5e3, "\\u0041", null, {}]}}')).toBe(true);
    for (const text of ["[]", "1", '{"a"}', '{"a":1', "{a:1}"]) expect(accepts(states, text)).toBe(false);
  });

  it("has few states: a string is one, however long", () => {
    const states = new GrammarStates(jsonSchemaGrammar({ type: "string" }));
    accepts(states, `"${"long ".repeat(10_000)}"`);
    expect(states.states.length).toBeLessThan(10);
  });

  it.each([
    [{ type: "text" }, "type"],
    [{ type: "string", pattern: "a+" }, "pattern"],
    [{ type: "integer", minimum: 1 }, "minimum"],
    [{ type: "object", properties: { a: { type: "string", format: "uuid" } } }, "properties.a.format"],
    [{ type: "object", properties: { a: 5 } }, "properties.a"],
    [{ type: "object", required: ["a"] }, "required"],
    [{ type: "array", items: { anyOf: [] } }, "items.anyOf"],
    [{ type: "array", minItems: 2, maxItems: 1 }, "minItems"],
    [{ type: "string", maxLength: -1 }, "maxLength"],
    [{ $ref: "#/$defs/none" }, "$ref"],
    [{ $ref: "https://example.org/schema" }, "$ref"],
    [{ $ref: "#" }, "$ref"],
    [{ allOf: [{ type: "null" }, { type: "string" }] }, "allOf"],
    [{ not: { type: "null" } }, "not"],
    [{ enum: [] }, "enum"],
    [5, ""],
  ])("%j is refused at its keyword", (schema, path) => {
    try {
      jsonSchemaGrammar(schema);
    } catch (error) {
      expect(error).toBeInstanceOf(SchemaError);
      expect((error as SchemaError).path.join(".")).toBe(path);
      return;
    }
    throw new Error("accepted");
  });
});
