import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEAD } from "../../src/text/byte-grammar.js";
import { jsonSchemaGrammar } from "../../src/text/json-grammar.js";
import { TokenConstraint, TokenGrammar } from "../../src/text/token-constraint.js";
import { createTokenTable } from "../../src/text/token-table.js";
import { createByteModel, END_ID } from "../support/byte-model.js";

const { tokenizer, phraseId } = createByteModel();
const table = createTokenTable(tokenizer);
const has = (mask: Uint32Array, id: number) => (((mask[id >> 5] as number) >>> (id & 31)) & 1) === 1;

function grammarOf(schema: unknown): TokenGrammar {
  return new TokenGrammar(jsonSchemaGrammar(schema), table, new Set([END_ID]), tokenizer.vocabSize);
}

describe("a token grammar", () => {
  it("allows exactly the tokens whose every byte may come, in any state", () => {
    const grammar = grammarOf({ type: "object", properties: { abc: { type: "string" } }, required: ["abc"] });
    const seen = new Set<number>();
    fc.assert(
      fc.property(fc.array(fc.nat(999_999), { maxLength: 14 }), (choices) => {
        let state = grammar.states.start;
        for (const choice of choices) {
          const mask = grammar.allowed(state);
          const allowed: number[] = [];
          for (let id = 0; id < tokenizer.vocabSize; id++) {
            const isEnd = id === END_ID && grammar.states.states[state]?.accepts === true;
            expect(has(mask, id)).toBe(isEnd || grammar.step(state, id) !== DEAD);
            if (has(mask, id) && !isEnd) allowed.push(id);
          }
          seen.add(state);
          if (allowed.length === 0) return;
          state = grammar.step(state, allowed[choice % allowed.length] as number);
        }
      }),
      { numRuns: 60 },
    );
    expect(seen.size).toBeGreaterThan(8);
  });

  it("lets the text end where it is whole, and only there", () => {
    const constraint = new TokenConstraint(grammarOf({ enum: ["abc"] }));
    expect(has(constraint.allowed(), END_ID)).toBe(false);
    for (const id of [34, phraseId("abc"), 34]) {
      expect(has(constraint.allowed(), id)).toBe(true);
      constraint.accept(id);
    }
    expect(has(constraint.allowed(), END_ID)).toBe(true);
    expect(constraint.allowed().reduce((sum, word) => sum + (word === 0 ? 0 : 1), 0)).toBe(1);
    expect(() => constraint.accept(97)).toThrow("grammar");
  });

  it("leaves control tokens out", () => {
    expect(table.ids).not.toContain(END_ID);
    expect(table.ids).toContain(97);
  });
});
