import { CharacterClass, classOf } from "./character-class.js";

/** Receives one piece: the half-open range `start..end` in UTF-16 units. Pieces come in order and leave nothing out. */
export type PieceSink = (start: number, end: number) => void;
/** Splits `text[start..end)` into pieces as if nothing stood around it. Time is linear in the length. */
export type PreTokenizer = (text: string, start: number, end: number, sink: PieceSink) => void;

const { letter, number, whitespace, punctuation } = CharacterClass;
const SPACE = 0x20;
const APOSTROPHE = 0x27;

/**
 * The pre-tokenizers by their name in `tokenizer.ggml.pre`. They are scanners and no regular expressions, because a regular
 * expression's backtracking is bounded by a stack or a counter, and one run of a million spaces must not exceed it.
 */
const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ["smollm", chain(isolateNumbers(1), splitGpt2)],
  ["gpt-2", splitGpt2],
  ["gpt2", splitGpt2],
  ["default", chain(isolate(isSymbol, 1, Infinity), splitGpt2, isolateNumbers(Infinity), isolate(isAsciiDigit, 3, 3))],
  ["qwen2", splitLlama3(1)],
  ["llama-bpe", splitLlama3(3)],
]);

export const PRE_TOKENIZER_NAMES: readonly string[] = [...PRE_TOKENIZERS.keys()];

/** Null where the name is unknown. */
export function findPreTokenizer(name: string): PreTokenizer | null {
  return PRE_TOKENIZERS.get(name) ?? null;
}

/** Each splitter works on the pieces of the one before it. */
function chain(...splitters: [PreTokenizer, ...PreTokenizer[]]): PreTokenizer {
  const [first, ...others] = splitters;
  return others.reduce<PreTokenizer>(
    (before, after) => (text, start, end, sink) =>
      before(text, start, end, (pieceStart, pieceEnd) => after(text, pieceStart, pieceEnd, sink)),
    first,
  );
}

/** `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+` */
function splitGpt2(text: string, start: number, end: number, sink: PieceSink): void {
  let position = start;
  while (position < end) {
    const pieceStart = position;
    position += contractionLength(text, position, end, false);
    if (position === pieceStart) {
      const runStart = text.charCodeAt(position) === SPACE ? position + 1 : position;
      const runClass = runStart < end ? classAt(text, runStart) : whitespace;
      if (runClass === whitespace) position = endOfWhitespace(text, position, end);
      else if (runClass & (letter | number)) position = endOfRun(text, runStart, end, runClass);
      else position = endOfOthers(text, runStart, end);
    }
    sink(pieceStart, position);
  }
}

/**
 * `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,maxDigits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
 */
function splitLlama3(maxDigits: number): PreTokenizer {
  return (text, start, end, sink) => {
    let position = start;
    while (position < end) {
      const pieceStart = position;
      position += contractionLength(text, position, end, true);
      if (position === pieceStart) position = endOfLlama3Piece(text, position, end, maxDigits);
      sink(pieceStart, position);
    }
  };
}

function endOfLlama3Piece(text: string, position: number, end: number, maxDigits: number): number {
  const first = text.codePointAt(position)!;
  const firstClass = classAt(text, position);
  const second = position + widthOf(first);
  if (firstClass === letter) return endOfRun(text, second, end, letter);
  if (firstClass === number) return endOfRun(text, position, end, number, maxDigits);
  const secondClass = second < end ? classAt(text, second) : whitespace;
  if (secondClass === letter && !isLineEnd(first)) return endOfRun(text, second, end, letter);
  if (firstClass !== whitespace) return endOfLineEnds(text, endOfOthers(text, position, end), end);
  if (first === SPACE && !(secondClass & (letter | number | whitespace)))
    return endOfLineEnds(text, endOfOthers(text, second, end), end);
  const lastLineEnd = endOfLastLineEnd(text, position, end);
  return lastLineEnd > position ? lastLineEnd : endOfWhitespace(text, position, end);
}

function isolateNumbers(maxLength: number): PreTokenizer {
  return isolate((codePoint) => classOf(codePoint) === number, 1, maxLength);
}

/** Runs of `minLength` to `maxLength` code points that pass `test` become pieces; what lies between them becomes pieces too. */
function isolate(test: (codePoint: number) => boolean, minLength: number, maxLength: number): PreTokenizer {
  return (text, start, end, sink) => {
    let pending = start;
    let position = start;
    while (position < end) {
      const runStart = position;
      let length = 0;
      while (position < end && length < maxLength && test(text.codePointAt(position)!)) {
        position += widthOf(text.codePointAt(position)!);
        length++;
      }
      if (length === 0) {
        position += widthOf(text.codePointAt(position)!);
      } else if (length >= minLength) {
        if (pending < runStart) sink(pending, runStart);
        sink(runStart, position);
        pending = position;
      }
    }
    if (pending < end) sink(pending, end);
  };
}

/** Length in units of the English contraction at `position`, apostrophe included; 0 where there is none. */
function contractionLength(text: string, position: number, end: number, ignoreCase: boolean): number {
  if (text.charCodeAt(position) !== APOSTROPHE) return 0;
  const tail = text.slice(position + 1, Math.min(end, position + 3));
  const letters = ignoreCase ? tail.replace(/[A-Z]/g, (char) => char.toLowerCase()) : tail;
  if (/^[stmd]/.test(letters)) return 2;
  return letters === "re" || letters === "ve" || letters === "ll" ? 3 : 0;
}

function endOfRun(text: string, start: number, end: number, runClass: number, maxLength = Infinity): number {
  let position = start;
  for (let length = 0; position < end && length < maxLength && classAt(text, position) === runClass; length++)
    position += widthOf(text.codePointAt(position)!);
  return position;
}

function endOfOthers(text: string, start: number, end: number): number {
  let position = start;
  while (position < end && !(classAt(text, position) & (letter | number | whitespace)))
    position += widthOf(text.codePointAt(position)!);
  return position;
}

/** `\s+(?!\S)|\s+`: the last whitespace of a run is left to what follows it, if something follows. Whitespace is one unit wide. */
function endOfWhitespace(text: string, start: number, end: number): number {
  const runEnd = endOfRun(text, start, end, whitespace);
  return runEnd < end && runEnd - start > 1 ? runEnd - 1 : runEnd;
}

/** `\s*[\r\n]+`: the end of the last line end in the whitespace run at `start`, or `start` where the run has none. */
function endOfLastLineEnd(text: string, start: number, end: number): number {
  let position = endOfRun(text, start, end, whitespace);
  while (position > start && !isLineEnd(text.charCodeAt(position - 1))) position--;
  return position;
}

function endOfLineEnds(text: string, start: number, end: number): number {
  let position = start;
  while (position < end && isLineEnd(text.charCodeAt(position))) position++;
  return position;
}

function classAt(text: string, position: number): number {
  return classOf(text.codePointAt(position)!);
}

function isLineEnd(codePoint: number): boolean {
  return codePoint === 0x0a || codePoint === 0x0d;
}

function widthOf(codePoint: number): number {
  return codePoint > 0xffff ? 2 : 1;
}

function isAsciiDigit(codePoint: number): boolean {
  return codePoint >= 0x30 && codePoint <= 0x39;
}

/** `[\p{P}\$\+<=>\^~\|]` */
function isSymbol(codePoint: number): boolean {
  return classOf(codePoint) === punctuation || "$+<=>^~|".includes(String.fromCodePoint(codePoint));
}
