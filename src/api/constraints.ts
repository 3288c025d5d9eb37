/** From what a request says of its answer's form to the constraint that the engine holds the answer to. */

import type { TextConstraint } from "../engine/types.js";
import { CallerError } from "../errors.js";
import { jsonSchemaGrammar, SchemaError } from "../text/json-grammar.js";
import { createTokenTable, type TokenTable } from "../text/token-table.js";
import type { Tokenizer } from "../text/types.js";

/** Made when a request first needs it: it takes a sort of the vocabulary. */
const tables = new WeakMap<Tokenizer, TokenTable>();

/** A text that is any JSON object. */
export function jsonObject(tokenizer: Tokenizer): TextConstraint {
  return { jsonSchema: null, suffix: "", tokens: tokenTable(tokenizer) };
}

/** A text that satisfies the schema, which came in the field `param`. Throws CallerError that names the keyword at fault. */
export function jsonOf(tokenizer: Tokenizer, schema: unknown, param: string): TextConstraint {
  const fault = schemaFault(schema);
  if (fault) {
    const field = [param, ...fault.path].join(".");
    throw new CallerError("invalid_request_error", `Invalid value for '${field}': ${fault.message}`, field);
  }
  return { jsonSchema: schema, suffix: "", tokens: tokenTable(tokenizer) };
}

/** The same with a text after it; undefined where the schema is more than a grammar can hold to. */
export function jsonThen(tokenizer: Tokenizer, schema: unknown, suffix: string): TextConstraint | undefined {
  return schemaFault(schema) ? undefined : { jsonSchema: schema, suffix, tokens: tokenTable(tokenizer) };
}

function schemaFault(schema: unknown): SchemaError | null {
  try {
    jsonSchemaGrammar(schema);
    return null;
  } catch (error) {
    if (error instanceof SchemaError) return error;
    throw error;
  }
}

function tokenTable(tokenizer: Tokenizer): TokenTable {
  let table = tables.get(tokenizer);
  if (!table) {
    table = createTokenTable(tokenizer);
    tables.set(tokenizer, table);
  }
  return table;
}
