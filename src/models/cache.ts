// The key/value cache as a pool of slots. A sequence is an ordered list of slots, one per position, so that forgetting,
// keeping a path of a tree and sharing the pool between sequences never move data: only lists change.
// (PagedAttention, Kwon et al., 2023, with pages of one row.)
import type { Sequence } from './model.ts';

/** Rows drafted by the last forward: slots, and the draft row before each one (-1: the last of the prefix). */
interface DraftedRows {
  readonly slots: readonly number[];
  readonly parents: readonly number[];
}

/** Hands out slots; the most recently freed first. */
export class SlotPool {
  readonly slots: number;
  readonly #free: number[];

  constructor(slots: number) {
    this.slots = slots;
    this.#free = Array.from({ length: slots }, (_, index) => slots - 1 - index);
  }

  get freeSlots(): number {
    return this.#free.length;
  }

  take(count: number): number[] {
    if (count > this.#free.length)
      throw new RangeError(
        `cache: expected ${count} free slots, got ${this.#free.length} of ${this.slots}; truncate or free a sequence`,
      );
    return Array.from({ length: count }, () => this.#free.pop()!);
  }

  give(slots: readonly number[]): void {
    for (let index = slots.length - 1; index >= 0; index--) this.#free.push(slots[index]);
  }
}

/** A cached prefix; the model appends to it, its owner truncates it. */
export class SlotSequence implements Sequence {
  readonly pool: SlotPool;
  readonly #slots: number[] = [];
  #drafted: DraftedRows = { slots: [], parents: [] };

  constructor(pool: SlotPool) {
    this.pool = pool;
  }

  get length(): number {
    return this.#slots.length;
  }

  /** Slot of every position, in order. */
  get slots(): readonly number[] {
    return this.#slots;
  }

  /** Takes slots for new positions and for drafted rows after them; both or neither. */
  extend(count: number, parents: readonly number[]): { readonly drafted: readonly number[] } {
    this.#forgetDraft();
    const taken = this.pool.take(count + parents.length);
    for (let index = 0; index < count; index++) this.#slots.push(taken[index]);
    this.#drafted = { slots: taken.slice(count), parents };
    return { drafted: this.#drafted.slots };
  }

  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#slots.length)
      throw new RangeError(
        `truncate: expected a length from 0 to ${this.#slots.length}, got ${length}`,
      );
    this.#forgetDraft();
    this.pool.give(this.#slots.splice(length));
  }

  keep(path: readonly number[]): void {
    const { slots, parents } = this.#drafted;
    let previous = -1;
    for (const node of path) {
      if (parents[node] !== previous)
        throw new RangeError(
          `keep: expected a path of drafted rows from the prefix down, got [${path.join(', ')}]`,
        );
      previous = node;
    }
    const kept = new Set(path);
    for (const node of path) this.#slots.push(slots[node]);
    this.pool.give(slots.filter((_, node) => !kept.has(node)));
    this.#drafted = { slots: [], parents: [] };
  }

  free(): void {
    this.truncate(0);
  }

  #forgetDraft(): void {
    this.pool.give(this.#drafted.slots);
    this.#drafted = { slots: [], parents: [] };
  }
}
