/** POST /tokenize and /detokenize, as llama-server has them. */

import type { Context } from "hono";
import type { ApiContext, ApiEnv } from "./api-context.js";
import { readJson } from "./json-body.js";
import { checkTokenIds } from "./prompt-tokens.js";
import { detokenizeRequest, tokenizeRequest } from "./schemas/tokenize-request.js";

export function tokenize(api: ApiContext) {
  return async (c: Context<ApiEnv>) => {
    const { tokenizer } = api.state.require();
    const body = await readJson(c, tokenizeRequest);
    const ids = tokenizer.encode(body.content, {
      addSpecial: body.add_special ?? false,
      parseSpecial: body.parse_special ?? true,
    });
    if (!body.with_pieces) return c.json({ tokens: Array.from(ids) });
    return c.json({ tokens: Array.from(ids, (id) => ({ id, piece: tokenizer.decode([id]) })) });
  };
}

export function detokenize(api: ApiContext) {
  return async (c: Context<ApiEnv>) => {
    const { tokenizer } = api.state.require();
    const { tokens } = await readJson(c, detokenizeRequest);
    return c.json({ content: tokenizer.decode(checkTokenIds(tokenizer, tokens, "tokens")) });
  };
}
