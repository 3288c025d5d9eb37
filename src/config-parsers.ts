/** Parsers of option values: text in, a value within its bound out, or what was expected. */

export type ParseResult<Value> = { ok: true; value: Value } | { ok: false; expected: string };
export type OptionParser<Value> = (text: string) => ParseResult<Value>;

export function text(minLength: number, maxLength: number): OptionParser<string> {
  const expected = `text of ${minLength} to ${maxLength} characters`;
  return (input) =>
    input.length >= minLength && input.length <= maxLength ? { ok: true, value: input } : { ok: false, expected };
}

export function integer(min: number, max: number): OptionParser<number> {
  const expected = `an integer from ${min} to ${max}`;
  return (input) => bounded(/^-?\d{1,16}$/.test(input) ? Number(input) : Number.NaN, min, max, expected);
}

export function decimal(min: number, max: number): OptionParser<number> {
  const expected = `a number from ${min} to ${max}`;
  return (input) =>
    bounded(/^-?(\d+(\.\d*)?|\.\d+)(e-?\d+)?$/i.test(input) ? Number(input) : Number.NaN, min, max, expected);
}

export function choice<Value extends string>(...values: Value[]): OptionParser<Value> {
  const expected = `one of ${values.join(", ")}`;
  return (input) => {
    const value = values.find((candidate) => candidate === input);
    return value === undefined ? { ok: false, expected } : { ok: true, value };
  };
}

const MULTIPLIERS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};

/** A size in bytes: `K`, `M`, `G`, `T` and `KiB` ... `TiB` count in 1024s, `KB` ... `TB` in 1000s. */
export function bytes(min: number, max: number): OptionParser<number> {
  const expected = `a size from ${min} to ${max} bytes, such as 800MiB or 4GiB`;
  return (input) => {
    const match = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(input);
    const multiplier = match ? MULTIPLIERS[(match[2] as string).toUpperCase()] : undefined;
    const value = multiplier === undefined ? Number.NaN : Math.floor(Number(match?.[1]) * multiplier);
    return bounded(value, min, max, expected);
  };
}

/** Widens a parser's type for an option whose default is "not set". */
export function orNull<Value>(parser: OptionParser<Value>): OptionParser<Value | null> {
  return parser;
}

function bounded(value: number, min: number, max: number, expected: string): ParseResult<number> {
  return value >= min && value <= max ? { ok: true, value } : { ok: false, expected };
}
