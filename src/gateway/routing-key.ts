/**
 * What decides a request's node, strongest first: the context it names, the start of its prompt, its path.
 * The key must not change as a conversation grows, or each turn would meet a node that lacks its KV cache: so of a chat only the
 * messages up to the first user message count, which every later turn repeats.
 */
export function routingKey(path: string, body: Uint8Array | null, prefixBytes: number): Uint8Array {
  const request = body && parseObject(body);
  if (request) {
    const context = contextId(request);
    if (context !== null) return tagged("context", context, Number.POSITIVE_INFINITY);
    const prompt = promptPrefix(request, prefixBytes);
    if (prompt !== "") return tagged("prompt", prompt, prefixBytes);
  }
  return tagged("path", path, Number.POSITIVE_INFINITY);
}

const encoder = new TextEncoder();

/** The tag keeps a context named like a prompt apart from that prompt. */
function tagged(tag: string, text: string, maxBytes: number): Uint8Array {
  return encoder.encode(`${tag}\n${text}`).subarray(0, tag.length + 1 + maxBytes);
}

/** null where the body is no JSON object: the node says what is wrong with it, the gateway only needs a place to send it. */
function parseObject(body: Uint8Array): Record<string, unknown> | null {
  try {
    return asObject(JSON.parse(new TextDecoder().decode(body)));
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function asObject(value: unknown): Record<string, unknown> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

function contextId(request: Record<string, unknown>): string | null {
  const context = asObject(request.wavekv)?.context;
  return typeof context === "string" && context !== "" ? context : null;
}

/** At most `maxChars` UTF-16 units; the caller cuts to bytes. */
function promptPrefix(request: Record<string, unknown>, maxChars: number): string {
  if (Array.isArray(request.messages)) return conversationStart(request.messages, maxChars);
  return promptStart(request.prompt, maxChars);
}

function conversationStart(messages: readonly unknown[], maxChars: number): string {
  let text = "";
  for (const value of messages) {
    const message = asObject(value);
    if (!message) return text;
    text += `${message.role}\u0000${contentStart(message.content, maxChars)}\u0000`;
    if (message.role === "user" || text.length >= maxChars) break;
  }
  return text.slice(0, maxChars);
}

/** A message's text, whether it comes as a string or as parts: both spellings of one conversation get one key. */
function contentStart(content: unknown, maxChars: number): string {
  if (typeof content === "string") return content.slice(0, maxChars);
  if (!Array.isArray(content)) return "";
  let text = "";
  for (const part of content) {
    const partText = asObject(part)?.text;
    if (typeof partText === "string") text += partText.slice(0, maxChars);
    if (text.length >= maxChars) break;
  }
  return text.slice(0, maxChars);
}

/** `prompt` of /v1/completions: text, a list of texts (the first decides), or token ids. */
function promptStart(prompt: unknown, maxChars: number): string {
  if (typeof prompt === "string") return prompt.slice(0, maxChars);
  if (!Array.isArray(prompt) || prompt.length === 0) return "";
  if (typeof prompt[0] === "number") return prompt.slice(0, maxChars).join(" ").slice(0, maxChars);
  return promptStart(prompt[0], maxChars);
}
