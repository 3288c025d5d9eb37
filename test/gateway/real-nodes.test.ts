import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { missingBuild, NODE_KEY, type NodeProcess, startNode } from "./node-process.js";
import { GATEWAY_KEY, type Gateway, startGateway } from "./worker.js";

const reason = missingBuild();
if (reason !== null) console.warn(`The gateway is not tested against real nodes: ${reason}`);

const LONG_PROMPT = "one two three four ".repeat(12);

describe.skipIf(reason !== null)(`two real nodes${reason === null ? "" : ` (${reason})`}`, () => {
  let nodes: NodeProcess[] = [];
  let gateway: Gateway;
  let client: OpenAI;

  beforeAll(async () => {
    nodes = await Promise.all([startNode(), startNode()]);
    gateway = await startGateway({ NODES: nodes.map((node) => node.url).join(","), NODE_API_KEY: NODE_KEY });
    client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: GATEWAY_KEY, maxRetries: 0 });
  }, 200_000);

  afterAll(async () => {
    await gateway?.stop();
    for (const node of nodes) await node.stop();
  });

  const question = (content: string) => ({
    model: "smollm2-135m",
    messages: [{ role: "user" as const, content }],
    max_tokens: 24,
    temperature: 0,
  });

  /** Name of the node that answers this question. */
  async function nodeOf(content: string): Promise<string> {
    const { response } = await client.chat.completions.create({ ...question(content), max_tokens: 1 }).withResponse();
    return response.headers.get("x-wavekv-node")!;
  }

  /** A question that hashes to the node of that index. */
  async function questionFor(index: number): Promise<string> {
    for (let attempt = 0; attempt < 40; attempt++) {
      const content = `What is ${attempt} plus one?`;
      if ((await nodeOf(content)) === `node-${index + 1}`) return content;
    }
    throw new Error(`no question of 40 reached node-${index + 1}`);
  }

  it("streams the tokens of either node, the same text as in one piece", async () => {
    for (const index of [0, 1]) {
      const content = await questionFor(index);
      const whole = await client.chat.completions.create(question(content));
      const stream = await client.chat.completions.create({ ...question(content), stream: true });
      const pieces: string[] = [];
      for await (const chunk of stream) pieces.push(chunk.choices[0]?.delta.content ?? "");
      expect(pieces.filter((piece) => piece !== "").length).toBeGreaterThan(3);
      expect(pieces.join("")).toBe(whole.choices[0]!.message.content);
      expect(pieces.join("")).not.toBe("");
    }
  });

  it("delivers the first event while the node is still decoding", async () => {
    const response = await postStream(gateway, { prompt: LONG_PROMPT, max_tokens: 400 });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const node = nodes[Number(response.headers.get("x-wavekv-node")!.slice("node-".length)) - 1]!;
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("data: ")) text += (await reader.read()).value!;
    expect(text).not.toContain("[DONE]");
    expect(await node.metric("wavekv_sequences_running")).toBe(1);
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  });

  it("stops the sequence on the node when the client leaves", async () => {
    const leave = new AbortController();
    const response = await postStream(gateway, { prompt: LONG_PROMPT, max_tokens: 1800 }, leave.signal);
    const node = nodes[Number(response.headers.get("x-wavekv-node")!.slice("node-".length)) - 1]!;
    const before = await node.metric("wavekv_completion_tokens_total");
    await response.body!.getReader().read();
    expect(await node.metric("wavekv_sequences_running")).toBe(1);
    leave.abort();
    const deadlineMs = Date.now() + 5_000;
    while ((await node.metric("wavekv_sequences_running")) > 0 && Date.now() < deadlineMs) await sleep(50);
    expect(await node.metric("wavekv_sequences_running")).toBe(0);
    expect((await node.metric("wavekv_completion_tokens_total")) - before).toBeLessThan(1800);
  });

  it("passes models and a node's refusal through", async () => {
    const models = await client.models.list();
    expect(models.data.map((model) => model.id)).toContain("smollm2-135m");
    const tooLong = client.chat.completions.create(question("word ".repeat(4000)));
    await expect(tooLong).rejects.toMatchObject({ status: 400, code: "context_length_exceeded" });
  });

  it("asks the other node once one is gone", async () => {
    const content = await questionFor(0);
    await nodes[0]!.stop();
    expect(await nodeOf(content)).toBe("node-2");
    const health = await (await fetch(`${gateway.url}/health`)).json();
    expect(health).toMatchObject({ status: "degraded", nodes: [{ status: "unreachable" }, { status: "ok" }] });
  });
});

function postStream(gateway: Gateway, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(`${gateway.url}/v1/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${GATEWAY_KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "smollm2-135m", temperature: 0, stream: true, ...body }),
    ...(signal ? { signal } : {}),
  });
}
