// The one memory of a backend and what lies in it.
import { arrayFor, entriesOf } from '../dtype.ts';
import type { DType, TypedArray } from '../plan.ts';
import { engine, type Memory } from './engine.ts';
import { Heap } from './heap.ts';

const PAGE = 65_536;
/** 4 GiB, all that 32-bit addresses reach. */
const MAXIMUM_PAGES = 65_536;

/** A growing memory with an allocator. */
export interface WasmMemory {
  readonly memory: Memory;
  /** Zeroed bytes. */
  allocate(bytes: number): number;
  release(address: number): void;
  /** The elements at an address; made anew for every use, because growing may replace the array behind it. */
  view(dtype: DType, address: number, length: number): TypedArray;
}

/** Throws a RangeError when 4 GiB are not enough. */
export function createMemory(): WasmMemory {
  const memory = new engine.Memory({ initial: 2, maximum: MAXIMUM_PAGES, shared: true });
  const heap = new Heap(PAGE, (end) => {
    const missing = Math.ceil(end / PAGE) - memory.buffer.byteLength / PAGE;
    if (missing <= 0) return;
    if (Math.ceil(end / PAGE) > MAXIMUM_PAGES)
      throw new RangeError(
        `wasm: expected at most 4 GiB of weights, caches and results, got ${(end / 2 ** 30).toFixed(2)} GiB`,
      );
    memory.grow(missing);
  });
  const view = (dtype: DType, address: number, length: number): TypedArray => {
    const Elements = arrayFor(dtype, 0).constructor as Uint8ArrayConstructor;
    return new Elements(memory.buffer, address, entriesOf(dtype, length));
  };
  return {
    memory,
    allocate(bytes) {
      const address = heap.allocate(bytes);
      view('u8', address, bytes).fill(0);
      return address;
    },
    release: (address) => heap.release(address),
    view,
  };
}
