/** What `wavekv serve` prints when it is ready: what runs, on what, where, and a request to try. */

import type { Config } from "../config.js";
import type { LoadedNode } from "./load-node.js";
import { packageVersion } from "./version.js";

export function readyText(node: LoadedNode, config: Config, url: string, loadMs: number): string {
  const { info } = node.engine;
  const rows = [
    ["model", `${node.model.id} (${node.modelPath})`],
    ["context", `${info.contextTokens} tokens, ${info.maxParallel} sequences at a time`],
    ["attention", `${config.attention}, segments of ${info.segmentTokens} tokens`],
    ["backend", `${info.backend}, ${info.simdLevel}, ${info.numThreads} threads`],
    ["url", `${url}/v1`],
  ];
  const lines = rows.map(([label, value]) => `  ${label?.padEnd(10)} ${value}`);
  return `wavekv ${packageVersion()} is ready after ${(loadMs / 1000).toFixed(1)} s
${lines.join("\n")}

Try it:
  ${curlLine(url, config.apiKey !== null)}
`;
}

function curlLine(url: string, needsKey: boolean): string {
  const key = needsKey ? " -H 'authorization: Bearer YOUR_KEY'" : "";
  const body = '{"messages":[{"role":"user","content":"What is a vector store?"}],"max_tokens":100}';
  return `curl ${url}/v1/chat/completions -H 'content-type: application/json'${key} -d '${body}'`;
}
