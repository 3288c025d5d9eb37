import { describe, expect, it } from "vitest";
import { parseNodes } from "../../src/gateway/node-list.js";

describe("parseNodes", () => {
  it("reads a comma list with weights", () => {
    expect(parseNodes(" http://a:8080/ , https://b.example.com/base/*2.5,")).toEqual([
      { name: "node-1", url: "http://a:8080", weight: 1 },
      { name: "node-2", url: "https://b.example.com/base", weight: 2.5 },
    ]);
  });

  it("reads a JSON list of urls and objects, as text or as a list", () => {
    const list = ["http://a:8080", { url: "http://b:8080", weight: 3, name: "big" }];
    const nodes = [
      { name: "node-1", url: "http://a:8080", weight: 1 },
      { name: "big", url: "http://b:8080", weight: 3 },
    ];
    expect(parseNodes(list)).toEqual(nodes);
    expect(parseNodes(JSON.stringify(list))).toEqual(nodes);
  });

  it.each([
    [undefined, "not set"],
    ["", "not set"],
    [" , ", "names no node"],
    ["[]", "names no node"],
    [7, "neither text nor a list"],
    ["[http://secret-host", "not JSON"],
    ["secret-host:8080x", "entry 1 is neither http nor https"],
    ["http://a,secret host", "entry 2 is not an absolute URL"],
    ["ftp://secret-host", "neither http nor https"],
    ["http://user:secret@a", "credentials"],
    ["http://a?secret=1", "a query or a fragment"],
    ["http://a#secret", "a query or a fragment"],
    ["http://a*0", "weight of entry 1"],
    ["http://a*", "weight of entry 1"],
    ["http://a*secret", "weight of entry 1"],
    [[{ url: "http://a", weight: 1001 }], "weight of entry 1"],
    [[{ url: "http://a", weight: "2" }], "weight of entry 1"],
    [[{ url: "http://a", secret: 1 }], "entry 1 has a field other than url, weight and name"],
    [[{ weight: 2 }], "url of entry 1 is not an absolute URL"],
    [[{ url: "http://a", name: "secret name" }], "name of entry 1"],
    [[null], "entry 1 is neither a url nor an object"],
    ["http://secret-host,http://secret-host/", "two entries have the same url"],
    [
      [
        { url: "http://a", name: "n" },
        { url: "http://b", name: "n" },
      ],
      "two entries have the same name",
    ],
    [Array.from({ length: 65 }, (_, index) => `http://secret-${index}`), "more than 64 nodes"],
  ])("refuses %j, naming the variable and not the value", (value, reason) => {
    const error = thrownBy(() => parseNodes(value));
    expect(error.message).toContain("variable NODES");
    expect(error.message).toContain(reason);
    expect(error.message).not.toContain("secret");
  });
});

function thrownBy(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}
