// Buffers of the wasm backend: elements at an address, blocks in panels.
import { BLOCK, isBlocked } from '../blocks.ts';
import { bytesPerElement, elements } from '../dtype.ts';
import type { Buffer, DType, TypedArray } from '../plan.ts';
import type { WasmMemory } from './memory.ts';
import { packPanels, panelBytes, unpackPanels } from './panels.ts';

/** Storage in the memory of the backend. */
export interface WasmBuffer extends Buffer {
  readonly address: number;
  /** Width of a row; the whole buffer is one where nobody said. */
  readonly columns: number;
}

/** Zeros. */
export function allocBuffer(
  memory: WasmMemory,
  dtype: DType,
  length: number,
  columns = length,
): WasmBuffer {
  const bytes = isBlocked(dtype)
    ? panelBytes(dtype, length / columns, columns)
    : length * bytesPerElement[dtype];
  return { dtype, length, columns, address: memory.allocate(bytes) };
}

/** Copies data to element `at` on. */
export function writeElements(
  memory: WasmMemory,
  buffer: WasmBuffer,
  data: TypedArray,
  at: number,
) {
  const { dtype, columns, length } = buffer;
  if (isBlocked(dtype))
    packPanels(data as Uint8Array, panelsOf(memory, buffer), dtype, {
      rows: length / columns,
      columns,
      first: at / BLOCK,
    });
  else memory.view(dtype, buffer.address, buffer.length).set(data, at);
}

/** A copy of elements [from, to), outside the shared memory and in the order of the dtype. */
export function readElements(
  memory: WasmMemory,
  buffer: WasmBuffer,
  from: number,
  to: number,
): TypedArray {
  const { dtype, columns, address, length } = buffer;
  if (isBlocked(dtype)) {
    const range = {
      rows: length / columns,
      columns,
      first: from / BLOCK,
      count: (to - from) / BLOCK,
    };
    return unpackPanels(panelsOf(memory, buffer), dtype, range);
  }
  const data = elements(memory.view(dtype, address, length), dtype, from, to);
  const Elements = data.constructor as Uint8ArrayConstructor;
  return Elements.from(data as Uint8Array);
}

function panelsOf(memory: WasmMemory, { dtype, address, length, columns }: WasmBuffer): Uint8Array {
  const bytes = isBlocked(dtype) ? panelBytes(dtype, length / columns, columns) : 0;
  return memory.view('u8', address, bytes) as Uint8Array;
}
