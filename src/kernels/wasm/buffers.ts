// Buffers of the wasm backend: elements in their order, or a matrix in panels.
import { BLOCK, isBlocked } from '../blocks.ts';
import { arrayFor, bytesPerElement, copyOf, elements, entriesOf } from '../dtype.ts';
import type { Buffer, DType, TypedArray } from '../plan.ts';
import { packBlocks, panelBytes, unpackBlocks } from './block-panels.ts';
import { packFloats, panelElements, unpackFloats } from './float-panels.ts';
import type { Storage } from './storage.ts';

/** Storage in a memory of the backend. */
export interface WasmBuffer extends Buffer {
  readonly address: number;
  /** The number of the annex it lies in, as only matrices in panels may; 0 for memory 0. */
  readonly annex: number;
  /** Width of a row of a matrix that lies in panels; null for elements in their order. */
  readonly columns: number | null;
}

/** Zeros; in panels if `columns` says that it is a matrix. */
export function allocBuffer(
  storage: Storage,
  dtype: DType,
  length: number,
  columns: number | null,
): WasmBuffer {
  const bytes = bytesOf({ dtype, length, columns });
  const place =
    columns === null
      ? { annex: 0, address: storage.main.allocate(bytes) }
      : storage.placeMatrix(bytes);
  return { dtype, length, columns, ...place };
}

/** Copies data to element `at` on. */
export function writeElements(storage: Storage, buffer: WasmBuffer, data: TypedArray, at: number) {
  const { dtype, columns, length } = buffer;
  const place = storageOf(storage, buffer);
  if (columns === null) return place.set(data, entriesOf(dtype, at));
  const rows = length / columns;
  if (isBlocked(dtype))
    packBlocks(data as Uint8Array, place as Uint8Array, dtype, {
      rows,
      columns,
      first: at / BLOCK,
    });
  else packFloats(data, place, { rows, columns, first: at });
}

/** A copy of elements [from, to), outside the shared memory and in the order of the dtype; in `into` where that is given. */
export function readElements(
  storage: Storage,
  buffer: WasmBuffer,
  { from, to, into }: { from: number; to: number; into?: TypedArray | undefined },
): TypedArray {
  const { dtype, columns, length } = buffer;
  const place = storageOf(storage, buffer);
  if (columns === null) return copyOf(elements(place, dtype, from, to), into);
  const rows = length / columns;
  if (isBlocked(dtype)) {
    const range = { rows, columns, first: from / BLOCK, count: (to - from) / BLOCK };
    const blocks = unpackBlocks(place as Uint8Array, dtype, range);
    return into === undefined ? blocks : copyOf(blocks, into);
  }
  const data = into ?? arrayFor(dtype, to - from);
  unpackFloats(place, data, { rows, columns, first: from });
  return data;
}

/** Everything a buffer occupies, as the array of its dtype. */
function storageOf(storage: Storage, buffer: WasmBuffer): TypedArray {
  const { dtype, address, annex } = buffer;
  const bytes = bytesOf(buffer);
  const memory = storage.memoryOf(annex);
  if (isBlocked(dtype)) return memory.view('u8', address, bytes);
  return memory.view(dtype, address, bytes / bytesPerElement[dtype]);
}

function bytesOf({
  dtype,
  length,
  columns,
}: Pick<WasmBuffer, 'dtype' | 'length' | 'columns'>): number {
  if (columns === null) return length * bytesPerElement[dtype];
  const rows = length / columns;
  return isBlocked(dtype)
    ? panelBytes(dtype, rows, columns)
    : panelElements(rows, columns) * bytesPerElement[dtype];
}
