/** What the rest of the project sees of text: ids in, ids out. */

/** GGUF metadata as the native reader gives it: numbers, strings, booleans, and arrays of one of these. 64-bit integers past 2^53 come as bigint. */
export type GgufValue =
  | number
  | bigint
  | boolean
  | string
  | string[]
  | Int32Array
  | Float32Array
  | Float64Array
  | boolean[];
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

export interface Tokenizer {
  readonly vocabSize: number;
  readonly bosTokenId: number | null;
  readonly eosTokenId: number;
  /** Every id that ends a turn (eos, eot, im_end ...), for the engine's stop tokens. */
  readonly endTokenIds: readonly number[];
  /** `addSpecial`: add BOS where the model asks for it. `parseSpecial`: text such as `<|im_end|>` becomes its special token. */
  encode(text: string, options: { addSpecial: boolean; parseSpecial: boolean }): Int32Array;
  /** Whole-sequence decoding; invalid UTF-8 becomes U+FFFD. `skipSpecial` leaves control tokens out. */
  decode(ids: ArrayLike<number>, options?: { skipSpecial?: boolean }): string;
  /** The bytes of one token: a part of a character, maybe; of control tokens none with `skipSpecial`. Throws a RangeError on an id outside the vocabulary. */
  tokenBytes(id: number, options?: { skipSpecial?: boolean }): Uint8Array;
  /** A decoder that never splits a UTF-8 character: push() returns what is complete, end() flushes. */
  stream(options?: { skipSpecial?: boolean }): DetokenizerStream;
}

export interface DetokenizerStream {
  push(id: number): string;
  end(): string;
}

export interface ChatMessage {
  role: string;
  content: string;
  name?: string;
  /** Of an assistant: the calls that it made; `arguments` parsed, as templates write them with `tojson`. */
  tool_calls?: readonly { id: string; type: "function"; function: { name: string; arguments: unknown } }[];
  /** Of a tool: which call it answers. */
  tool_call_id?: string;
}

export interface RenderOptions {
  addGenerationPrompt: boolean;
  /** Function descriptions as clients send them; only for templates that `usesTools`. */
  tools?: readonly object[];
}

export interface ChatTemplate {
  /** Renders to the prompt text; throws CallerError with `param: "messages"` where the template refuses. */
  render(messages: readonly ChatMessage[], options: RenderOptions): string;
  /** Whether the template writes tools into the prompt, in the way that the model was trained with. */
  readonly usesTools: boolean;
}
