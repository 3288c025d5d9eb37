import { probeNode } from "./attempt.js";
import type { GatewayConfig } from "./config.js";

export interface NodeHealth {
  name: string;
  /** `loading` is the node's own 503; `unreachable` is no answer within the connect timeout. */
  status: "ok" | "loading" | "failing" | "unreachable";
}

export interface GatewayHealth {
  /** `degraded`: some nodes are not ok; `unavailable`: none is. */
  status: "ok" | "degraded" | "unavailable";
  nodes: NodeHealth[];
}

/** /health needs no key and asks every node: the answer is kept this long, so that it cannot be used to flood them. */
const KEPT_MS = 1_000;

const kept = new WeakMap<GatewayConfig, { health: GatewayHealth; untilMs: number }>();

export async function gatewayHealth(config: GatewayConfig): Promise<GatewayHealth> {
  const last = kept.get(config);
  if (last && Date.now() < last.untilMs) return last.health;
  const nodes = await Promise.all(
    config.nodes.map(async (node): Promise<NodeHealth> => {
      return { name: node.name, status: nodeStatus(await probeNode(node, config.connectTimeoutMs)) };
    }),
  );
  const numOk = nodes.filter((node) => node.status === "ok").length;
  const status = numOk === nodes.length ? "ok" : numOk > 0 ? "degraded" : "unavailable";
  const health: GatewayHealth = { status, nodes };
  kept.set(config, { health, untilMs: Date.now() + KEPT_MS });
  return health;
}

function nodeStatus(httpStatus: number | null): NodeHealth["status"] {
  if (httpStatus === null) return "unreachable";
  if (httpStatus === 200) return "ok";
  return httpStatus === 503 ? "loading" : "failing";
}
