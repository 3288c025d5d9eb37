/** A growing list of token ids over one typed array. */
export class TokenList {
  private ids: Int32Array;
  private length = 0;

  constructor(capacity: number) {
    this.ids = new Int32Array(Math.max(capacity, 16));
  }

  push(id: number): void {
    this.reserve(1);
    this.ids[this.length++] = id;
  }

  /** Appends the first `count` of `ids`. */
  append(ids: Int32Array, count: number): void {
    this.reserve(count);
    for (let index = 0; index < count; index++) this.ids[this.length + index] = ids[index]!;
    this.length += count;
  }

  /** A copy of exactly the list's length. */
  toArray(): Int32Array {
    return this.ids.slice(0, this.length);
  }

  private reserve(count: number): void {
    if (this.length + count <= this.ids.length) return;
    const grown = new Int32Array(Math.max(this.ids.length * 2, this.length + count));
    grown.set(this.ids.subarray(0, this.length));
    this.ids = grown;
  }
}
