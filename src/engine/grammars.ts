import { literal, sequence } from "../text/byte-grammar.js";
import { jsonObjectGrammar, jsonSchemaGrammar } from "../text/json-grammar.js";
import { TokenConstraint, TokenGrammar } from "../text/token-constraint.js";
import type { TextConstraint } from "./types.js";

/** Grammars of the latest requests, with what they have worked out so far. */
const MAX_GRAMMARS = 8;

export class Grammars {
  /** In order of last use, oldest first. */
  private readonly known = new Map<string, TokenGrammar>();

  /** The model's logits are of `numLogits` tokens. */
  constructor(private readonly numLogits: number) {}

  /** A sequence's way through the grammar of its request. Throws SchemaError. */
  constraint({ jsonSchema, suffix, tokens }: TextConstraint, endTokens: ReadonlySet<number>): TokenConstraint {
    const key = JSON.stringify([jsonSchema, suffix, [...endTokens]]);
    const make = () => {
      const json = jsonSchema === null ? jsonObjectGrammar() : jsonSchemaGrammar(jsonSchema);
      return new TokenGrammar(sequence(json, literal(suffix)), tokens, endTokens, this.numLogits);
    };
    const grammar = this.known.get(key) ?? make();
    this.known.delete(key);
    this.known.set(key, grammar);
    const [oldest] = this.known.keys();
    if (this.known.size > MAX_GRAMMARS && oldest !== undefined) this.known.delete(oldest);
    return new TokenConstraint(grammar);
  }
}
