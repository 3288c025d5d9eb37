/**
 * From a JSON schema to a grammar of JSON texts that satisfy it. The grammar may be narrower than the schema (properties come in
 * the schema's order, and none that it does not name), never wider. Keywords that it cannot hold to are refused.
 */

import { bytesOf, choice, type GrammarNode, literal, optional, repeat, sequence } from "./byte-grammar.js";

/** `path` leads to the keyword at fault, in the schema's own spelling. */
export class SchemaError extends Error {
  constructor(
    readonly path: readonly string[],
    message: string,
  ) {
    super(message);
    this.name = "SchemaError";
  }
}

const MAX_DEPTH = 64;
const END = Number.POSITIVE_INFINITY;

/** These say nothing about the text. */
const ANNOTATIONS =
  "title description default examples example deprecated readOnly writeOnly $schema $id $comment".split(" ");
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  string: ["minLength", "maxLength"],
  number: [],
  integer: [],
  boolean: [],
  null: [],
  object: ["properties", "required", "additionalProperties"],
  array: ["items", "minItems", "maxItems"],
};
const ALL_TYPES = Object.keys(KEYWORDS);

// Bounded, so that a model cannot go on with white space for ever.
const space = choice(
  sequence(),
  literal(" "),
  sequence(literal("\n"), repeat(bytesOf([0x20, 0x20], [0x09, 0x09]), 0, 32)),
);
const digit = bytesOf([0x30, 0x39]);
const hex = bytesOf([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]);
// No surrogates: half of a pair would be no character.
const hexStart = bytesOf([0x30, 0x39], [0x41, 0x43], [0x45, 0x46], [0x61, 0x63], [0x65, 0x66]);
const more = bytesOf([0x80, 0xbf]);
const character = choice(
  bytesOf([0x20, 0x21], [0x23, 0x5b], [0x5d, 0x7f]),
  sequence(bytesOf([0xc2, 0xdf]), more),
  sequence(bytesOf([0xe0, 0xe0]), bytesOf([0xa0, 0xbf]), more),
  sequence(bytesOf([0xe1, 0xec], [0xee, 0xef]), more, more),
  sequence(bytesOf([0xed, 0xed]), bytesOf([0x80, 0x9f]), more),
  sequence(bytesOf([0xf0, 0xf0]), bytesOf([0x90, 0xbf]), more, more),
  sequence(bytesOf([0xf1, 0xf3]), more, more, more),
  sequence(bytesOf([0xf4, 0xf4]), bytesOf([0x80, 0x8f]), more, more),
  sequence(literal("\\"), choice(...Array.from('"\\/bfnrt', literal), sequence(literal("u"), hexStart, hex, hex, hex))),
);
const quote = literal('"');
const integer = sequence(
  optional(literal("-")),
  choice(literal("0"), sequence(bytesOf([0x31, 0x39]), repeat(digit, 0, 15))),
);
const exponent = sequence(
  bytesOf([0x45, 0x45], [0x65, 0x65]),
  optional(choice(literal("+"), literal("-"))),
  repeat(digit, 1, 2),
);
const number = sequence(integer, optional(sequence(literal("."), repeat(digit, 1, 16))), optional(exponent));
const boolean = choice(literal("true"), literal("false"));

function stringOf(min: number, max: number): GrammarNode {
  return sequence(quote, repeat(character, min, max), quote);
}

/** `open item (, item)* close`, from min to max items. */
function listOf(open: string, item: GrammarNode, close: string, min = 0, max = END): GrammarNode {
  const following = sequence(space, literal(","), space, item);
  const items = sequence(item, repeat(following, Math.max(0, min - 1), max - 1), space);
  const inside = max === 0 ? sequence() : min === 0 ? optional(items) : items;
  return sequence(literal(open), space, inside, literal(close));
}

function member(key: GrammarNode, value: GrammarNode): GrammarNode {
  return sequence(key, space, literal(":"), space, value);
}

const anyValue: GrammarNode = { kind: "rule", resolve: () => anyJson };
const anyObject = listOf("{", member(stringOf(0, END), anyValue), "}");
const anyJson = choice(anyObject, listOf("[", anyValue, "]"), stringOf(0, END), number, boolean, literal("null"));

/** Any JSON object. */
export function jsonObjectGrammar(): GrammarNode {
  return anyObject;
}

/** Throws SchemaError. */
export function jsonSchemaGrammar(schema: unknown): GrammarNode {
  return new SchemaCompiler(schema).compile(schema, [], 0);
}

type Schema = Readonly<Record<string, unknown>>;

class SchemaCompiler {
  private readonly references = new Map<string, GrammarNode>();

  constructor(private readonly root: unknown) {}

  compile(schema: unknown, path: readonly string[], depth: number): GrammarNode {
    if (depth > MAX_DEPTH) throw new SchemaError(path, `the schema is nested more than ${MAX_DEPTH} deep`);
    if (schema === true) return anyValue;
    if (!isObject(schema)) throw new SchemaError(path, "expected a schema, which is an object or true");
    if ("$ref" in schema) return this.reference(schema, path, depth);
    for (const keyword of ["anyOf", "oneOf", "allOf"]) {
      if (keyword in schema) return this.alternatives(schema, keyword, path, depth);
    }
    if ("const" in schema) return this.values(schema, "const", [schema.const], path);
    if ("enum" in schema) return this.values(schema, "enum", schema.enum, path);
    const types = this.typesOf(schema, path);
    refuseOthers(schema, ["type", ...types.flatMap((type) => KEYWORDS[type] as string[])], path);
    if (!("type" in schema) && types.length === ALL_TYPES.length) return anyValue;
    return choice(...types.map((type) => this.ofType(type, schema, path, depth)));
  }

  /** The types that a schema names; without any, those that its keywords speak of. */
  private typesOf(schema: Schema, path: readonly string[]): string[] {
    if (!("type" in schema)) {
      const spoken = ALL_TYPES.filter((type) => KEYWORDS[type]?.some((keyword) => keyword in schema));
      return spoken.length > 0 ? spoken : ALL_TYPES;
    }
    const types = Array.isArray(schema.type) ? schema.type : [schema.type];
    const wrong = types.find((type) => !ALL_TYPES.includes(type));
    if (wrong !== undefined || types.length === 0) {
      throw new SchemaError([...path, "type"], `expected one or more of ${ALL_TYPES.join(", ")}`);
    }
    return types;
  }

  private ofType(type: string, schema: Schema, path: readonly string[], depth: number): GrammarNode {
    switch (type) {
      case "string":
        return stringOf(...range(schema, "minLength", "maxLength", path));
      case "integer":
        return integer;
      case "number":
        return number;
      case "boolean":
        return boolean;
      case "null":
        return literal("null");
      case "array": {
        const item = "items" in schema ? this.compile(schema.items, [...path, "items"], depth + 1) : anyValue;
        return listOf("[", item, "]", ...range(schema, "minItems", "maxItems", path));
      }
      default:
        return this.object(schema, path, depth);
    }
  }

  private object(schema: Schema, path: readonly string[], depth: number): GrammarNode {
    const { properties = {}, required = [], additionalProperties = true } = schema;
    if (!isObject(properties)) throw new SchemaError([...path, "properties"], "expected an object of schemas");
    if (!Array.isArray(required) || required.some((name) => typeof name !== "string")) {
      throw new SchemaError([...path, "required"], "expected a list of names");
    }
    const names = Object.keys(properties);
    const unknown = required.find((name) => !names.includes(name));
    if (unknown !== undefined) {
      throw new SchemaError([...path, "required"], `'${unknown}' is required and not among the properties`);
    }
    const others = [...path, "additionalProperties"];
    const other = additionalProperties === false ? null : this.compile(additionalProperties, others, depth + 1);
    if (names.length === 0) return other ? listOf("{", member(stringOf(0, END), other), "}") : literal("{}");
    const members = names.map((name) => {
      const value = this.compile(properties[name], [...path, "properties", name], depth + 1);
      return { node: member(literal(JSON.stringify(name)), value), isRequired: required.includes(name) };
    });
    return sequence(literal("{"), space, orderedMembers(members), literal("}"));
  }

  private values(schema: Schema, keyword: string, values: unknown, path: readonly string[]): GrammarNode {
    refuseOthers(schema, ["type", keyword], path);
    if (!Array.isArray(values) || values.length === 0) {
      throw new SchemaError([...path, keyword], "expected a list of values");
    }
    return choice(...values.map((value) => literal(JSON.stringify(value))));
  }

  private alternatives(schema: Schema, keyword: string, path: readonly string[], depth: number): GrammarNode {
    refuseOthers(schema, [keyword], path);
    const where = [...path, keyword];
    const options = schema[keyword];
    if (!Array.isArray(options) || options.length === 0) throw new SchemaError(where, "expected a list of schemas");
    if (keyword === "allOf" && options.length > 1) throw new SchemaError(where, "only one schema is supported here");
    return choice(...options.map((option, index) => this.compile(option, [...where, String(index)], depth + 1)));
  }

  private reference(schema: Schema, path: readonly string[], depth: number): GrammarNode {
    refuseOthers(schema, ["$ref"], path);
    const name = schema.$ref;
    const where = [...path, "$ref"];
    if (typeof name !== "string" || !/^#(\/|$)/.test(name)) {
      throw new SchemaError(where, "only references within the schema, such as '#/$defs/name', are supported");
    }
    const known = this.references.get(name);
    if (known) return known;
    let resolved: GrammarNode | null = null;
    const rule: GrammarNode = { kind: "rule", resolve: () => resolved as GrammarNode };
    this.references.set(name, rule);
    resolved = this.compile(this.lookUp(name, where), where, depth + 1);
    if (resolved === rule) throw new SchemaError(where, "it refers to nothing but itself");
    return rule;
  }

  private lookUp(name: string, where: readonly string[]): unknown {
    let found = this.root;
    for (const part of name.split("/").slice(1)) {
      const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
      if (!isObject(found) || !Object.hasOwn(found, key)) throw new SchemaError(where, `there is no '${name}'`);
      found = found[key];
    }
    return found;
  }
}

/** The members in order; those that are not required may be left out. */
function orderedMembers(members: readonly { node: GrammarNode; isRequired: boolean }[]): GrammarNode {
  // From the last to the first: what may follow where a member came before, and where none did.
  let afterSome: GrammarNode = space;
  let afterNone: GrammarNode = sequence();
  for (const { node, isRequired } of members.toReversed()) {
    const first = sequence(node, afterSome);
    const following = sequence(space, literal(","), space, node, afterSome);
    afterNone = isRequired ? first : choice(first, afterNone);
    afterSome = isRequired ? following : choice(following, afterSome);
  }
  return afterNone;
}

function range(schema: Schema, low: string, high: string, path: readonly string[]): [number, number] {
  const bound = (keyword: string, absent: number) => {
    const value = schema[keyword] ?? absent;
    if (value !== END && (!Number.isSafeInteger(value) || (value as number) < 0)) {
      throw new SchemaError([...path, keyword], "expected an integer of 0 or more");
    }
    return value as number;
  };
  const [min, max] = [bound(low, 0), bound(high, END)];
  if (min > max) throw new SchemaError([...path, low], `it is above '${high}'`);
  return [min, max];
}

function refuseOthers(schema: Schema, known: readonly string[], path: readonly string[]): void {
  for (const key of Object.keys(schema)) {
    if (known.includes(key) || ANNOTATIONS.includes(key) || key === "$defs" || key === "definitions") continue;
    throw new SchemaError([...path, key], "this keyword is not supported here");
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
