// A memory of a backend and what lies in it.
import { ARRAYS, entriesOf } from '../dtype.ts';
import type { DType, TypedArray } from '../plan.ts';
import { engine, type Memory } from './engine.ts';
import { Heap } from './heap.ts';

const PAGE = 65_536;
/** 4 GiB, all that 32-bit addresses reach. */
export const MAXIMUM_BYTES = 65_536 * PAGE;

/** A growing memory with an allocator. */
export interface WasmMemory {
  readonly memory: Memory;
  /** Zeroed bytes. */
  allocate(bytes: number): number;
  /** Whether `allocate` would find room without reaching beyond `limit`. */
  hasRoom(bytes: number, limit: number): boolean;
  release(address: number): void;
  /** The elements at an address; made anew for every use, because growing may replace the array behind it. */
  view(dtype: DType, address: number, length: number): TypedArray;
  /** Lets go of the memory: everything but `release` throws from now on. */
  close(): void;
}

/** How a memory is made. */
export interface MemoryOptions {
  readonly shared: boolean;
  /** Bytes it may hold, at most 4 GiB. */
  readonly limit: number;
  /** Said when there is no room: what the memory holds, and what to ask less of. */
  readonly full: string;
}

/** Throws a RangeError when the limit is reached, or when the system has no more. */
export function createMemory({ shared, limit, full }: MemoryOptions): WasmMemory {
  const maximum = Math.floor(limit / PAGE);
  let memory: Memory | null = new engine.Memory({ initial: 2, maximum, shared });
  const alive = (): Memory => {
    if (memory === null) throw new Error('wasm: expected a backend, got a disposed one');
    return memory;
  };
  const heap = new Heap(PAGE, (end) => {
    const held = alive();
    const missing = Math.ceil(end / PAGE) - held.buffer.byteLength / PAGE;
    if (missing <= 0) return;
    if (Math.ceil(end / PAGE) > maximum)
      throw new RangeError(`wasm: expected at most ${show(limit)} of ${full}, got ${show(end)}`);
    try {
      held.grow(missing);
    } catch {
      throw new RangeError(
        `wasm: expected ${show(missing * PAGE)} more from the system, got no memory`,
      );
    }
  });
  const view = (dtype: DType, address: number, length: number): TypedArray => {
    return new ARRAYS[dtype](alive().buffer as ArrayBuffer, address, entriesOf(dtype, length));
  };
  return {
    get memory() {
      return alive();
    },
    allocate(bytes) {
      // What has never been in use is zero, and touching it twice costs a second a gigabyte.
      const used = heap.end;
      const address = heap.allocate(bytes);
      view('u8', address, Math.min(bytes, Math.max(0, used - address))).fill(0);
      return address;
    },
    hasRoom(bytes, most) {
      const end = heap.endOf(bytes);
      return end === heap.end || end <= most;
    },
    release: (address) => heap.release(address),
    view,
    close() {
      memory = null;
    },
  };
}

/** A number of bytes in words. */
export function show(bytes: number): string {
  return bytes < 2 ** 30
    ? `${(bytes / 2 ** 20).toFixed(1)} MiB`
    : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
