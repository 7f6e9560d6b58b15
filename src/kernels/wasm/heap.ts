// Hands out ranges of one address space: first fit, neighbours joined when they are given back.

/** Ranges start on a cache line, and what runs a few bytes past its end meets nobody. */
const LINE = 64;
const SLACK = 16;

/** An allocator of addresses from `base` on; `grow` is told the end of what is in use when it moves up. */
export class Heap {
  readonly #grow: (end: number) => void;
  /** Ascending, never adjacent. */
  readonly #free: { from: number; size: number }[] = [];
  readonly #sizes = new Map<number, number>();
  #end: number;

  constructor(base: number, grow: (end: number) => void = () => {}) {
    this.#end = Math.ceil(base / LINE) * LINE;
    this.#grow = grow;
  }

  /** One past the highest address that was ever in use. */
  get end(): number {
    return this.#end;
  }

  /** What `end` would be after `allocate`. */
  endOf(bytes: number): number {
    const size = sizeFor(bytes);
    return this.#find(size) < 0 ? this.#end + size : this.#end;
  }

  /** The address of `bytes` bytes that nobody else has. */
  allocate(bytes: number): number {
    const size = sizeFor(bytes);
    const index = this.#find(size);
    let from = this.#end;
    if (index < 0) {
      this.#grow(from + size);
      this.#end += size;
    } else {
      const range = this.#free[index];
      from = range.from;
      if (range.size === size) this.#free.splice(index, 1);
      else this.#free[index] = { from: from + size, size: range.size - size };
    }
    this.#sizes.set(from, size);
    return from;
  }

  /** Gives back what `allocate` returned; anything else is left alone. */
  release(from: number): void {
    const size = this.#sizes.get(from);
    if (size === undefined) return;
    this.#sizes.delete(from);
    let index = this.#free.findIndex((range) => range.from > from);
    if (index < 0) index = this.#free.length;
    this.#free.splice(index, 0, { from, size });
    this.#join(index);
    this.#join(index - 1);
  }

  #find(size: number): number {
    return this.#free.findIndex((range) => range.size >= size);
  }

  #join(index: number): void {
    const [range, next] = [this.#free[index], this.#free[index + 1]];
    if (!range || !next || range.from + range.size !== next.from) return;
    range.size += next.size;
    this.#free.splice(index + 1, 1);
  }
}

function sizeFor(bytes: number): number {
  return Math.ceil((bytes + SLACK) / LINE) * LINE;
}
