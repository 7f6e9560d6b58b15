// How the values of a placed plan are reached: by address from the tape, as arrays from the host.
import { bytesPerElement, reader, writer } from '../dtype.ts';
import type { Operand } from '../operand.ts';
import type { Call, TypedArray, Value } from '../plan.ts';
import { sizeOf } from '../size.ts';
import { readElements, type WasmBuffer } from './buffers.ts';
import type { Layout } from './layout.ts';
import type { Range } from './sharing.ts';
import type { Storage } from './storage.ts';
import type { Places } from './tape.ts';

/** The values of one plan. */
export interface Values extends Places {
  /** The bytes of memory 0 that a step touches. */
  range(value: Value): Range;
  /** Before a run: looks whether the memory has grown, and puts the numbers of rows in use where the kernels read them. */
  begin(): void;
  /** The elements; not of a matrix in panels. */
  view(value: Value): TypedArray;
  /** What the kernels of the reference take; of a matrix in panels a copy in the order of its elements. */
  operand(value: Value): Operand;
}

/** Values that lie as `layout` says from `base` on, with `extents` rows in use. */
export function createValues(
  storage: Storage,
  { layout, base, extents }: { layout: Layout; base: number; extents: Call['extents'] },
): Values {
  const memory = storage.main;
  const bufferOf = (value: Value) => ('buffer' in value ? (value.buffer as WasmBuffer) : null);
  // Made once until the memory grows, and asked for once a run: a short plan would spend a tenth of its time on them.
  const views = new Map<Value, TypedArray>();
  let words: TypedArray | undefined;
  const values: Values = {
    address(value) {
      const buffer = bufferOf(value);
      if (buffer === null) return base + layout.offsets.get(value)!;
      const { offset, dtype } = value as Extract<Value, { buffer: unknown }>;
      return buffer.address + offset * bytesPerElement[dtype];
    },
    rows: ({ extent, shape }) => base + layout.rowsWord(extent ?? shape[0] ?? 1),
    range(value) {
      // What lies in an annex is never written by a plan.
      if ((bufferOf(value)?.annex ?? 0) > 0) return { from: 0, to: 0 };
      const from = values.address(value);
      return { from, to: from + sizeOf(value.shape) * bytesPerElement[value.dtype] };
    },
    begin() {
      if (words?.buffer !== memory.memory.buffer) {
        views.clear();
        words = memory.view('i32', base, 2);
      }
      words[0] = extents.T;
      words[1] = extents.K;
    },
    view(value) {
      let view = views.get(value);
      if (view === undefined) {
        view = memory.view(value.dtype, values.address(value), sizeOf(value.shape));
        views.set(value, view);
      }
      return view;
    },
    operand(value) {
      const { dtype, extent } = value;
      const data = inOrder(storage, value) ?? values.view(value);
      const shape = extent ? value.shape.with(0, extents[extent]) : value.shape;
      return { dtype, data, shape, at: reader(data, dtype), put: writer(data, dtype) };
    },
  };
  return values;
}

/** The elements of a value of a matrix in panels, null of others. */
function inOrder(storage: Storage, value: Value): TypedArray | null {
  if (!('buffer' in value) || (value.buffer as WasmBuffer).columns === null) return null;
  const { buffer, offset, shape } = value;
  const to = offset + sizeOf(shape);
  return readElements(storage, buffer as WasmBuffer, { from: offset, to });
}
