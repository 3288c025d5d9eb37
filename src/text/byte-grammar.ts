/** A grammar over bytes, and its states, made as they are met. */

export type GrammarNode =
  /** One byte of a set: u8 [256], 1 for those in it. */
  | { readonly kind: "bytes"; readonly set: Uint8Array }
  | { readonly kind: "sequence"; readonly nodes: readonly GrammarNode[] }
  | { readonly kind: "choice"; readonly nodes: readonly GrammarNode[] }
  /** `max` may be Infinity. */
  | { readonly kind: "repeat"; readonly node: GrammarNode; readonly min: number; readonly max: number }
  /** A node that may contain itself. */
  | { readonly kind: "rule"; resolve(): GrammarNode };

export function bytesOf(...ranges: readonly (readonly [number, number])[]): GrammarNode {
  const set = new Uint8Array(256);
  for (const [first, last] of ranges) set.fill(1, first, last + 1);
  return { kind: "bytes", set };
}

export function literal(text: string): GrammarNode {
  return sequence(...Array.from(Buffer.from(text, "utf8"), (byte) => bytesOf([byte, byte])));
}

export function sequence(...nodes: readonly GrammarNode[]): GrammarNode {
  return { kind: "sequence", nodes };
}

export function choice(...nodes: readonly GrammarNode[]): GrammarNode {
  return { kind: "choice", nodes };
}

export function repeat(node: GrammarNode, min: number, max: number): GrammarNode {
  return { kind: "repeat", node, min, max };
}

export function optional(node: GrammarNode): GrammarNode {
  return choice(node, sequence());
}

/** What is left to match: `node` from its part `position` on (a repeat: after so many rounds), then `next`. */
interface Frame {
  readonly id: number;
  readonly node: GrammarNode;
  readonly position: number;
  readonly next: Frame | null;
}

export interface GrammarState {
  readonly id: number;
  /** Whether the text may end here. */
  readonly accepts: boolean;
  /** Each begins with a set of bytes. */
  readonly frames: readonly Frame[];
  /** i32 [256]: the state after each byte; DEAD for none, UNKNOWN until it is asked for. */
  readonly after: Int32Array;
}

export const DEAD = -1;
const UNKNOWN = -2;

/** The states of one grammar. Frames and states are kept by what they say, so that equal ones are one. */
export class GrammarStates {
  readonly states: GrammarState[] = [];
  readonly start: number;
  private readonly stateIds = new Map<string, number>();
  private readonly frames = new Map<string, Frame>();
  private readonly nodeIds = new Map<GrammarNode, number>();

  constructor(root: GrammarNode) {
    this.start = this.state([this.frame(root, 0, null)]);
  }

  /** The state after one more byte, or DEAD. */
  step(stateId: number, byte: number): number {
    const state = this.states[stateId] as GrammarState;
    const known = state.after[byte] as number;
    if (known !== UNKNOWN) return known;
    const rests: (Frame | null)[] = [];
    for (const { node, next } of state.frames) if (node.kind === "bytes" && node.set[byte] === 1) rests.push(next);
    const after = rests.length === 0 ? DEAD : this.state(rests);
    state.after[byte] = after;
    return after;
  }

  private state(rests: readonly (Frame | null)[]): number {
    const found = new Map<number, Frame>();
    const seen = new Set<number>();
    let accepts = false;
    const expand = (frame: Frame | null): void => {
      if (frame === null) accepts = true;
      else if (frame.node.kind === "bytes") found.set(frame.id, frame);
      else if (!seen.has(frame.id)) {
        seen.add(frame.id);
        for (const rest of this.unfold(frame)) expand(rest);
      }
    };
    for (const rest of rests) expand(rest);
    const key = `${[...found.keys()].sort((a, b) => a - b).join()}${accepts ? "!" : ""}`;
    const known = this.stateIds.get(key);
    if (known !== undefined) return known;
    const id = this.states.length;
    this.states.push({ id, accepts, frames: [...found.values()], after: new Int32Array(256).fill(UNKNOWN) });
    this.stateIds.set(key, id);
    return id;
  }

  /** The frames that a frame stands for, one level down. */
  private unfold({ node, position, next }: Frame): (Frame | null)[] {
    switch (node.kind) {
      case "bytes":
        return [];
      case "rule":
        return [this.frame(node.resolve(), 0, next)];
      case "choice":
        return node.nodes.map((one) => this.frame(one, 0, next));
      case "sequence": {
        const part = node.nodes[position];
        if (!part) return [next];
        return [this.frame(part, 0, position + 1 < node.nodes.length ? this.frame(node, position + 1, next) : next)];
      }
      case "repeat": {
        const rests: (Frame | null)[] = position >= node.min ? [next] : [];
        // Past the minimum, rounds of an endless repeat are alike.
        const rounds = node.max === Number.POSITIVE_INFINITY ? Math.min(position + 1, node.min) : position + 1;
        if (position < node.max) rests.push(this.frame(node.node, 0, this.frame(node, rounds, next)));
        return rests;
      }
    }
  }

  private frame(node: GrammarNode, position: number, next: Frame | null): Frame {
    const key = `${this.nodeId(node)}:${position}:${next?.id ?? ""}`;
    let frame = this.frames.get(key);
    if (!frame) {
      frame = { id: this.frames.size, node, position, next };
      this.frames.set(key, frame);
    }
    return frame;
  }

  private nodeId(node: GrammarNode): number {
    let id = this.nodeIds.get(node);
    if (id === undefined) {
      id = this.nodeIds.size;
      this.nodeIds.set(node, id);
    }
    return id;
  }
}
