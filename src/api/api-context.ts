/** What the routes share: the node's state, the settings of the surface, logs and metrics. */

import type { Logger } from "pino";
import type { NodeMetrics } from "./metrics.js";
import type { NodeState } from "./node-state.js";
import type { RequestRecord } from "./request-record.js";

export interface ApiSettings {
  apiKey: string | null;
  /** Silence of a stream after which a comment is sent. */
  pingIntervalMs: number;
}

export interface ApiContext {
  state: NodeState;
  settings: ApiSettings;
  logger: Logger;
  metrics: NodeMetrics;
}

/** Hono's types: what each request carries through the handlers. */
export interface ApiEnv {
  Variables: { record: RequestRecord };
}
