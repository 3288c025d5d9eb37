import { GatewayError } from "./errors.js";

/**
 * Reads a request's body whole, once: it is needed to choose the node and again for each node that is tried.
 * Returns null for a request without a body. Throws GatewayError 413 `request_too_large` before holding more than `maxBytes`.
 */
export async function readBody(request: Request, maxBytes: number): Promise<Uint8Array | null> {
  if (!request.body) return null;
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of request.body as ReadableStream<Uint8Array>) {
    sizeBytes += chunk.byteLength;
    // Leaving the loop cancels the stream.
    if (sizeBytes > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return join(chunks, sizeBytes);
}

function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError("request_too_large", `The request body is larger than the ${maxBytes} bytes accepted here.`);
}

function join(chunks: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  const first = chunks[0];
  if (chunks.length === 1 && first) return first;
  const whole = new Uint8Array(sizeBytes);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return whole;
}
