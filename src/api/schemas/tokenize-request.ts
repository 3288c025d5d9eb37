/** Bodies of POST /tokenize and POST /detokenize, as llama-server has them. */

import { z } from "@hono/zod-openapi";

export const tokenizeRequest = z
  .strictObject({
    content: z.string(),
    add_special: z.boolean().nullish(),
    parse_special: z.boolean().nullish(),
    with_pieces: z.boolean().nullish(),
  })
  .openapi("TokenizeRequest");

export const detokenizeRequest = z
  .strictObject({ tokens: z.array(z.int().min(0).max(0x7fff_ffff)) })
  .openapi("DetokenizeRequest");
