import { describe, expect, it } from "vitest";
import { commentFrame, dataFrame, frameBody, PING, withPings } from "../../src/api/sse.js";

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function* slowly<T>(values: readonly T[], gapMs: number): AsyncGenerator<T, void> {
  for (const value of values) {
    await sleep(gapMs);
    yield value;
  }
}

describe("frames", () => {
  it("keep line breaks inside the JSON", () => {
    const frame = dataFrame({ text: "a\n\ndata: b\r\u2028" });
    expect(frame.indexOf("\n\n")).toBe(frame.length - 2);
    expect(JSON.parse(frame.slice(6))).toEqual({ text: "a\n\ndata: b\r\u2028" });
    expect(commentFrame("x")).toBe(": x\n\n");
  });
});

describe("withPings", () => {
  it("pings while the source is silent, and loses nothing", async () => {
    const source = slowly(["a", "b"], 60);
    const seen: unknown[] = [];
    for await (const event of withPings(source, source.next(), 20)) seen.push(event);
    expect(seen.filter((event) => event !== PING)).toEqual(["a", "b"]);
    expect(seen.filter((event) => event === PING).length).toBeGreaterThanOrEqual(2);
  });

  it("does not ping a source that talks", async () => {
    const source = slowly([1, 2, 3, 4], 10);
    const seen: unknown[] = [];
    for await (const event of withPings(source, source.next(), 2_000)) seen.push(event);
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  it("passes the source's error on", async () => {
    const source = (async function* (): AsyncGenerator<string, void> {
      yield "a";
      throw new Error("broken");
    })();
    const events = withPings(source, source.next(), 1_000);
    expect((await events.next()).value).toBe("a");
    await expect(events.next()).rejects.toThrow("broken");
  });
});

describe("frameBody", () => {
  it("asks for a frame only when the reader wants one", async () => {
    let numAsked = 0;
    const frames = (async function* (): AsyncGenerator<string, void> {
      while (true) yield `${++numAsked}`;
    })();
    const reader = frameBody(frames, async () => {}).getReader();
    await sleep(20);
    expect(numAsked).toBe(0);
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("1");
    await reader.read();
    await sleep(20);
    expect(numAsked).toBe(2);
  });

  it("reports the reader's leaving", async () => {
    let left = false;
    const frames = slowly(["a"], 1);
    const body = frameBody(frames, async () => {
      left = true;
    });
    await body.cancel();
    expect(left).toBe(true);
  });
});
