// Where the values of a plan lie in the memory of its backend; scratch values share their places in time.
import { bytesPerElement } from '../dtype.ts';
import { lastUses, type Touches } from '../lifetimes.ts';
import type { Value } from '../plan.ts';
import { sizeOf } from '../size.ts';
import { Heap } from './heap.ts';
import type { WasmMemory } from './memory.ts';

/** Offsets of everything a plan needs: numbers of rows, inputs, scratch values. The first words are T and K. */
export class Layout {
  readonly offsets = new Map<Value, number>();
  /** Fixed numbers of rows, in the words after T and K. */
  readonly #rows: number[] = [];
  readonly bytes: number;

  constructor(steps: readonly Touches[], outputs: readonly Value[]) {
    const lastUse = lastUses({ steps, outputs });
    const values = steps.flatMap(({ inputs, output }) => [...inputs, output]);
    for (const { extent, shape } of values) {
      const rows = shape[0] ?? 1;
      if (extent === undefined && !this.#rows.includes(rows)) this.#rows.push(rows);
    }
    const heap = new Heap(4 * (2 + this.#rows.length));
    const place = (value: Value) => {
      if (!('buffer' in value) && !this.offsets.has(value))
        this.offsets.set(value, heap.allocate(sizeOf(value.shape) * bytesPerElement[value.dtype]));
    };
    // Inputs are written before the first step, so they share their place with nobody.
    for (const value of values) if (value.kind === 'input') place(value);
    for (const [index, step] of steps.entries()) {
      const touched = new Set([...step.inputs, step.output]);
      for (const value of touched) place(value);
      for (const value of touched)
        if (value.kind === 'scratch' && lastUse.get(value) === index)
          heap.release(this.offsets.get(value)!);
    }
    this.bytes = heap.end;
  }

  /** Offset of the word with the rows of an extent, or with a fixed number of them. */
  rowsWord(rows: 'T' | 'K' | number): number {
    if (rows === 'T') return 0;
    if (rows === 'K') return 4;
    return 4 * (2 + this.#rows.indexOf(rows));
  }

  writeConstants(memory: WasmMemory, base: number): void {
    memory.view('i32', base + 8, this.#rows.length).set(this.#rows);
  }
}
