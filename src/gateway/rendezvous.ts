import type { GatewayNode } from "./node-list.js";

/**
 * Rendezvous hashing, highest random weight: every node draws a score for the key, and the best score wins. Removing a node moves
 * its own keys only, each to the node that was second for it; so the ranking is also the order of failover.
 * Weighted as score = -weight / ln(u) with u uniform in (0, 1): a node gets keys in proportion to its weight.
 */
export function rankNodes(nodes: readonly GatewayNode[], key: Uint8Array): GatewayNode[] {
  const keyHash = hashBytes(key);
  return nodes
    .map((node) => ({ node, score: -node.weight / Math.log(uniform(keyHash, hashBytes(encoder.encode(node.url)))) }))
    .sort((a, b) => b.score - a.score || (a.node.url < b.node.url ? -1 : 1))
    .map(({ node }) => node);
}

const encoder = new TextEncoder();

/** Two independent 32-bit lanes; placement needs even spread, not secrecy. */
type Hash = readonly [high: number, low: number];

function hashBytes(bytes: Uint8Array): Hash {
  let high = 0x9747b28c;
  let low = 0x3c6ef372;
  for (const byte of bytes) {
    high = Math.imul(high ^ byte, 0x01000193);
    low = Math.imul((low << 5) | (low >>> 27), 0x2c1b3c6d) ^ Math.imul(byte + 1, 0x297a2d39);
  }
  return [scramble(high ^ bytes.length), scramble(low ^ bytes.length)];
}

/** Spreads every input bit over the whole word: multiply and fold (the 32-bit finaliser of MurmurHash3). */
function scramble(word: number): number {
  let mixed = word ^ (word >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** A number strictly inside (0, 1) from key and node, of 52 bits so that it never rounds to 1. */
function uniform(key: Hash, node: Hash): number {
  const high = scramble(key[0] ^ scramble(node[0] + key[1])) >>> 0;
  const low = scramble(key[1] ^ scramble(node[1] + high)) >>> 0;
  return (high * 2 ** 20 + (low >>> 12) + 0.5) / 2 ** 52;
}
