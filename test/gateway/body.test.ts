import { describe, expect, it } from "vitest";
import { readBody } from "../../src/gateway/body.js";

/** A request whose body comes in pieces, so that no content-length gives its size away; `cancelled` tells whether reading stopped. */
function piecewise(pieces: readonly number[]): { request: Request; cancelled: () => boolean } {
  let cancelled = false;
  let next = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const sizeBytes = pieces[next++];
      if (sizeBytes === undefined) controller.close();
      else controller.enqueue(new Uint8Array(sizeBytes).fill(next));
    },
    cancel() {
      cancelled = true;
    },
  });
  return { request: new Request("http://gateway/", { method: "POST", body }), cancelled: () => cancelled };
}

describe("readBody", () => {
  it("joins the pieces in order, up to the bound itself", async () => {
    const body = await readBody(piecewise([3, 1, 4]).request, 8);
    expect([...body!]).toEqual([1, 1, 1, 2, 3, 3, 3, 3]);
  });

  it("stops reading at the first byte over the bound", async () => {
    const { request, cancelled } = piecewise([3, 1, 5, 100, 100, 100]);
    await expect(readBody(request, 8)).rejects.toMatchObject({ status: 413, code: "request_too_large" });
    expect(cancelled()).toBe(true);
  });

  it("refuses by content-length before reading anything", async () => {
    const request = new Request("http://gateway/", {
      method: "POST",
      body: new Uint8Array(9),
      headers: { "content-length": "9" },
    });
    await expect(readBody(request, 8)).rejects.toMatchObject({ status: 413 });
    expect(request.bodyUsed).toBe(false);
  });

  it("is null for a request without a body", async () => {
    expect(await readBody(new Request("http://gateway/"), 8)).toBeNull();
  });
});
