import { DEAD, type GrammarNode, type GrammarState, GrammarStates } from "./byte-grammar.js";
import type { TokenTable } from "./token-table.js";

/** Masks of some megabytes in all; they are made again where they are needed. */
const MAX_MASKS = 256;

/** Which tokens a grammar lets come where; serves every sequence under the same grammar. */
export class TokenGrammar {
  readonly states: GrammarStates;
  private readonly masks = new Map<number, Uint32Array>();
  /** [id] -> place in the table, -1 for tokens that are no text. */
  private readonly places: Int32Array;

  /** Tokens of `endTokens` may come where the text may end. Logits of `numLogits` tokens are masked. */
  constructor(
    root: GrammarNode,
    private readonly table: TokenTable,
    private readonly endTokens: ReadonlySet<number>,
    private readonly numLogits: number,
  ) {
    this.states = new GrammarStates(root);
    this.places = new Int32Array(table.vocabSize).fill(-1);
    table.ids.forEach((id, place) => {
      this.places[id] = place;
    });
  }

  /** Bits of the tokens that may come in a state, u32 [ceil(numLogits / 32)]. */
  allowed(stateId: number): Uint32Array {
    const known = this.masks.get(stateId);
    if (known) return known;
    if (this.masks.size >= MAX_MASKS) this.masks.clear();
    const mask = this.makeMask(stateId);
    this.masks.set(stateId, mask);
    return mask;
  }

  /** The state after a token's bytes; DEAD where the grammar does not let it come. */
  step(stateId: number, tokenId: number): number {
    const { offsets, bytes } = this.table;
    const place = this.places[tokenId] ?? -1;
    if (place < 0) return DEAD;
    let state = stateId;
    for (let at = offsets[place] as number; at < (offsets[place + 1] as number) && state !== DEAD; at++) {
      state = this.states.step(state, bytes[at] as number);
    }
    return state;
  }

  private makeMask(stateId: number): Uint32Array {
    const { ids, offsets, bytes, sharedBytes } = this.table;
    const mask = new Uint32Array(Math.ceil(this.numLogits / 32));
    const allow = (id: number) => {
      mask[id >> 5] = (mask[id >> 5] as number) | (1 << (id & 31));
    };
    if ((this.states.states[stateId] as GrammarState).accepts) for (const id of this.endTokens) allow(id);
    // reached[n]: the state after the token's first n bytes. Neighbours begin alike: only what differs is stepped again.
    const reached = [stateId];
    let deadAt = Number.POSITIVE_INFINITY;
    for (let place = 0; place < ids.length; place++) {
      const common = sharedBytes[place] as number;
      if (common >= deadAt) continue;
      deadAt = Number.POSITIVE_INFINITY;
      const start = offsets[place] as number;
      const length = (offsets[place + 1] as number) - start;
      let at = common;
      let state = reached[at] as number;
      for (; at < length; at++) {
        state = this.states.step(state, bytes[start + at] as number);
        if (state === DEAD) break;
        reached[at + 1] = state;
      }
      if (state === DEAD) deadAt = at + 1;
      else allow(ids[place] as number);
    }
    return mask;
  }
}

/** One sequence on its way through a grammar. */
export class TokenConstraint {
  private state: number;

  constructor(private readonly grammar: TokenGrammar) {
    this.state = grammar.states.start;
  }

  allowed(): Uint32Array {
    return this.grammar.allowed(this.state);
  }

  /** Throws where the token was not allowed: it came from elsewhere than the mask. */
  accept(tokenId: number): void {
    const next = this.grammar.step(this.state, tokenId);
    if (next === DEAD) throw new Error(`token ${tokenId} is not what the grammar lets come here`);
    this.state = next;
  }
}
