import { describe, expect, it } from "vitest";
import type { GatewayNode } from "../../src/gateway/node-list.js";
import { rankNodes } from "../../src/gateway/rendezvous.js";

const NUM_KEYS = 6000;
const keys = Array.from({ length: NUM_KEYS }, (_, index) => new TextEncoder().encode(`context\ndoc-${index}`));

function makeNodes(weights: readonly number[]): GatewayNode[] {
  return weights.map((weight, index) => ({
    name: `node-${index + 1}`,
    url: `http://10.0.0.${index + 1}:8080`,
    weight,
  }));
}

function countFirsts(nodes: readonly GatewayNode[]): number[] {
  const counts = new Map<string, number>();
  for (const key of keys) {
    const name = rankNodes(nodes, key)[0]!.name;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return nodes.map((node) => counts.get(node.name) ?? 0);
}

describe("rankNodes", () => {
  it("names every node once, in an order that does not depend on the order of the list", () => {
    const nodes = makeNodes([1, 2, 1, 5]);
    for (const key of keys.slice(0, 200)) {
      const ranked = rankNodes(nodes, key);
      expect(new Set(ranked)).toEqual(new Set(nodes));
      expect(rankNodes([...nodes].reverse(), key)).toEqual(ranked);
    }
  });

  it("moves only the removed node's keys, each to the node that was second", () => {
    const nodes = makeNodes([1, 1, 3, 1, 2]);
    for (const removed of nodes) {
      const left = nodes.filter((node) => node !== removed);
      for (const key of keys.slice(0, 1000)) {
        expect(rankNodes(left, key)).toEqual(rankNodes(nodes, key).filter((node) => node !== removed));
      }
    }
  });

  it("spreads keys evenly over equal nodes", () => {
    for (const numNodes of [2, 3, 7]) {
      const mean = NUM_KEYS / numNodes;
      // Five standard deviations of a fair draw.
      const bound = 5 * Math.sqrt(mean * (1 - 1 / numNodes));
      for (const count of countFirsts(makeNodes(Array(numNodes).fill(1)))) {
        expect(Math.abs(count - mean)).toBeLessThan(bound);
      }
    }
  });

  it("gives nodes keys in proportion to their weights", () => {
    const weights = [1, 2, 5];
    const counts = countFirsts(makeNodes(weights));
    weights.forEach((weight, index) => {
      const share = weight / 8;
      expect(Math.abs(counts[index]! - NUM_KEYS * share)).toBeLessThan(5 * Math.sqrt(NUM_KEYS * share * (1 - share)));
    });
  });

  it("spreads a lost node's keys over all that are left", () => {
    const nodes = makeNodes([1, 1, 1, 1]);
    const orphans = keys.map((key) => rankNodes(nodes, key)).filter((ranked) => ranked[0] === nodes[0]);
    for (const heir of nodes.slice(1)) {
      const share = orphans.filter((ranked) => ranked[1] === heir).length / orphans.length;
      expect(share).toBeGreaterThan(0.27);
      expect(share).toBeLessThan(0.4);
    }
  });
});
