import { TokenType, type Vocabulary } from "./vocabulary.js";

/** A stretch of text between special tokens (half-open, UTF-16 units), or a special token's id. */
export type Fragment = { start: number; end: number } | number;

interface SpecialToken {
  readonly id: number;
  readonly text: string;
  /** User-defined tokens are found in any text, the others only where special tokens are parsed. */
  readonly always: boolean;
}

/** Finds special tokens in text: longer ones first over the whole text, equal ones from left to right. */
export class SpecialTokens {
  private readonly tokens: readonly SpecialToken[];

  constructor(vocabulary: Vocabulary) {
    this.tokens = vocabulary.specialIds
      .map((id) => ({
        id,
        text: vocabulary.tokens[id]!,
        always: vocabulary.types[id] === TokenType.userDefined,
        sizeBytes: Buffer.byteLength(vocabulary.tokens[id]!),
      }))
      .filter((token) => token.text !== "")
      .sort((a, b) => b.sizeBytes - a.sizeBytes);
  }

  /** The fragments of `text`, in order; none is empty. Time: the number of special tokens times the length, by native search. */
  partition(text: string, parseSpecial: boolean): Fragment[] {
    let fragments: Fragment[] = text.length > 0 ? [{ start: 0, end: text.length }] : [];
    for (const token of this.tokens) {
      if (!token.always && !parseSpecial) continue;
      // One search over the whole text spares the fragments of a text that has no such token, which is the usual case.
      if (!text.includes(token.text)) continue;
      fragments = fragments.flatMap((fragment) =>
        typeof fragment === "number" ? fragment : split(text, fragment, token),
      );
    }
    return fragments;
  }
}

function split(text: string, { start, end }: { start: number; end: number }, token: SpecialToken): Fragment[] {
  const fragments: Fragment[] = [];
  let from = start;
  // Searching the fragment alone: a search of the whole text from here would run to its end for every fragment.
  const stretch = text.slice(start, end);
  for (let at = stretch.indexOf(token.text); at >= 0; at = stretch.indexOf(token.text, from - start)) {
    if (start + at > from) fragments.push({ start: from, end: start + at });
    fragments.push(token.id);
    from = start + at + token.text.length;
  }
  if (from < end) fragments.push({ start: from, end });
  return fragments;
}
