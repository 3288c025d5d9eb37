import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type FinishedAnswer, generateText, type TextRequest } from "../../src/api/text-generation.js";
import { byteIds, createByteModel } from "../support/byte-model.js";
import { ScriptedEngine, type Step } from "../support/scripted-engine.js";

const model = createByteModel();

function request(stopStrings: string[] = []): TextRequest {
  return {
    requestId: "r1",
    promptTokens: Int32Array.of(1, 2, 3),
    maxTokens: 100,
    stopTokens: [],
    stopStrings,
    sampling: { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 1 },
    attention: { mode: null, retrievalBudget: null },
  };
}

async function collect(engine: ScriptedEngine, stops: string[] = [], signal = new AbortController().signal) {
  const pieces: string[] = [];
  let finished: FinishedAnswer | null = null;
  for await (const event of generateText({ engine, tokenizer: model.tokenizer }, request(stops), signal)) {
    if (event.type === "text") pieces.push(event.text);
    if (event.type === "finished") finished = event;
  }
  return { pieces, text: pieces.join(""), finished };
}

describe("generateText", () => {
  it("never splits a character that several tokens make up", async () => {
    const text = "naïve 😀 日本語";
    const { pieces, text: whole } = await collect(new ScriptedEngine(byteIds(text)));
    expect(whole).toBe(text);
    for (const piece of pieces) expect(piece).not.toContain("\ufffd");
    expect(pieces).toContain("😀");
  });

  it("shows a character that never came whole as U+FFFD, at the end only", async () => {
    const { pieces } = await collect(new ScriptedEngine([...byteIds("a"), 0xf0, 0x9f]));
    expect(pieces).toEqual(["a", "", "", "\ufffd"]);
  });

  it("leaves special tokens out of the text", async () => {
    const { text } = await collect(new ScriptedEngine([...byteIds("a"), 256, ...byteIds("b")]));
    expect(text).toBe("ab");
  });

  it("finds a stop string over any token boundary and emits no part of it", async () => {
    const words = fc.array(fc.constantFrom("a", "b", "ab", "é", " STOP", "\n\n", "S", "T"), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(words, fc.constantFrom("ab", "STOP", "aé", "\n\n", "TT"), async (parts, stop) => {
        const text = parts.join("");
        const at = text.indexOf(stop);
        const engine = new ScriptedEngine(byteIds(text));
        const result = await collect(engine, [stop]);
        expect(result.text).toBe(at < 0 ? text : text.slice(0, at));
        expect(engine.finishedEarly).toEqual(at < 0 ? [] : ["r1"]);
      }),
      { numRuns: 150 },
    );
  });

  it("stops inside a token of several characters", async () => {
    const engine = new ScriptedEngine([...byteIds("x"), model.phraseId("abc"), ...byteIds("y")]);
    const { text, finished } = await collect(engine, ["b"]);
    expect(text).toBe("xa");
    expect(finished?.reason).toBe("stop");
  });

  it("holds back no more than what may be a stop string", async () => {
    const { pieces } = await collect(new ScriptedEngine(byteIds("hello")), ["lot"]);
    expect(pieces.slice(0, 5)).toEqual(["h", "e", "", "l", ""]);
    expect(pieces.join("")).toBe("hello");
  });

  it("counts tokens up to the stop string, and keeps report and timings", async () => {
    const engine = new ScriptedEngine([{ processed: 3, cached: 2 }, ...byteIds("ab|rest")]);
    const { finished } = await collect(engine, ["|"]);
    expect(finished?.usage).toEqual({ promptTokens: 3, cachedTokens: 2, completionTokens: 3 });
    expect(finished?.report?.segments).toBe(3);
    expect(finished?.timings?.decodeMs).toBe(40);
  });

  it("ends without `finished` when aborted", async () => {
    const controller = new AbortController();
    const steps: Step[] = [...byteIds("a"), new Promise(() => {})];
    const engine = new ScriptedEngine(steps);
    setTimeout(() => controller.abort(), 20);
    const { text, finished } = await collect(engine, [], controller.signal);
    expect(text).toBe("a");
    expect(finished).toBeNull();
    expect(engine.cancelled).toEqual(["r1"]);
  });

  it("throws what the engine throws", async () => {
    await expect(collect(new ScriptedEngine([97, new Error("device lost")]))).rejects.toThrow("device lost");
  });
});
