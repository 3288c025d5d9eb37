/** GET /v1/models and /v1/models/:id */

import type { Context } from "hono";
import type { ApiContext, ApiEnv } from "./api-context.js";
import type { ReadyNode } from "./node-state.js";
import { requireModel } from "./request-options.js";

export function listModels(api: ApiContext) {
  return (c: Context<ApiEnv>) => c.json({ object: "list", data: [modelObject(api.state.require())] });
}

export function getModel(api: ApiContext) {
  return (c: Context<ApiEnv>) => {
    const node = api.state.require();
    requireModel(node, c.req.param("id"));
    return c.json(modelObject(node));
  };
}

function modelObject({ model, engine, tokenizer }: ReadyNode): object {
  return {
    id: model.id,
    object: "model",
    created: model.createdSeconds,
    owned_by: "wavekv",
    max_model_len: engine.info.contextTokens,
    vocab_size: tokenizer.vocabSize,
  };
}
