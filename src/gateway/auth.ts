import { GatewayError } from "./errors.js";

const CHALLENGE = { "www-authenticate": 'Bearer realm="wavekv"' };

/** SHA-256 of a key, 32 bytes: digests have one length, so comparing them tells nothing about a key's length. */
export async function keyDigest(key: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key)));
}

/**
 * Refuses a request without an accepted key in `authorization: Bearer KEY`. Throws GatewayError 401 `invalid_api_key`.
 * Every accepted key is compared, each in constant time, so the time taken does not tell which one came near.
 */
export async function checkKey(headers: Headers, accepted: readonly Uint8Array[]): Promise<void> {
  const key = /^Bearer +(\S+) *$/i.exec(headers.get("authorization") ?? "")?.[1];
  if (key === undefined) {
    throw new GatewayError("invalid_api_key", "Send an API key as `authorization: Bearer KEY`.", CHALLENGE);
  }
  const digest = await keyDigest(key);
  let matches = 0;
  for (const candidate of accepted) matches |= Number(crypto.subtle.timingSafeEqual(digest, candidate));
  if (matches === 0) throw new GatewayError("invalid_api_key", "The API key is not accepted here.", CHALLENGE);
}
