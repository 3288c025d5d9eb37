import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CallerError } from "../../src/errors.js";
import { StopMatcher } from "../../src/text/stop-matcher.js";

function run(stops: string[], parts: readonly string[]): { text: string; matched: string | null; emits: string[] } {
  const matcher = new StopMatcher(stops);
  const results = [...parts.map((part) => matcher.push(part)), matcher.end()];
  const emits = results.map(({ emit }) => emit);
  return { text: emits.join(""), matched: results.at(-1)!.matched, emits };
}

/** The rule, on the whole text: the stop string that is complete first, the longest of those that end there. */
function cutByRule(stops: readonly string[], text: string): { text: string; matched: string | null } {
  for (let end = 1; end <= text.length; end++) {
    const ending = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)[0];
    if (ending !== undefined) return { text: text.slice(0, end - ending.length), matched: ending };
  }
  return { text, matched: null };
}

describe("StopMatcher", () => {
  it("passes text through where there are no stop strings", () => {
    expect(run([], ["a", "", "b"])).toEqual({ text: "ab", matched: null, emits: ["a", "", "b", ""] });
  });

  it("finds a stop string cut over several pushes, and emits none of it", () => {
    expect(run(["END"], ["one E", "N", "D two", "three"])).toEqual({
      text: "one ",
      matched: "END",
      emits: ["one ", "", "", "", ""],
    });
  });

  it("holds back only what may begin a stop string", () => {
    expect(run(["aab"], ["xaaa"]).emits).toEqual(["xa", "aa"]);
    expect(run(["\n\nUser:"], ["a\n", "\n", "b", "\n\nUse"]).emits).toEqual(["a", "", "\n\nb", "", "\n\nUse"]);
  });

  it("lets the stop string win that is complete first", () => {
    expect(run(["abcd", "bc"], ["abcd"])).toMatchObject({ text: "a", matched: "bc" });
    expect(run(["c", "bc"], ["abcd"])).toMatchObject({ text: "a", matched: "bc" });
  });

  it("cuts at the same place however the text is pushed", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "🙂", "\n"), maxLength: 24 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "🙂", "\n"), minLength: 1, maxLength: 4 }), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(stops, fc.array(letters, { maxLength: 8 }), (list, parts) => {
        const { text, matched } = run(list, parts);
        expect({ text, matched }).toEqual(cutByRule(list, parts.join("")));
      }),
      { numRuns: 2000 },
    );
  });

  it("emits at each push all that can be sent", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 12 });
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 5 }), { maxLength: 3 }),
        letters,
        (stops, text) => {
          const { emit, matched } = new StopMatcher(stops).push(text);
          fc.pre(matched === null);
          const held = text.slice(emit.length);
          const mayBegin = (tail: string) => tail !== "" && stops.some((stop) => stop.startsWith(tail));
          expect(held === "" || mayBegin(held)).toBe(true);
          for (let length = held.length + 1; length <= text.length; length++)
            expect(mayBegin(text.slice(text.length - length))).toBe(false);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("refuses an empty stop string by name", () => {
    expect(() => new StopMatcher(["a", ""])).toThrow(CallerError);
    expect(() => new StopMatcher([""])).toThrow(expect.objectContaining({ param: "stop", status: 400 }));
  });
});
