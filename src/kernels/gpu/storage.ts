// Buffers of the gpu backend: host arrays with a note of who else holds the content, and what f32 storage refuses.
import { arrayFor, elements, fromFloat32, toFloat32 } from '../dtype.ts';
import { UnsupportedError } from '../errors.ts';
import type { Buffer, DType, TypedArray, Value } from '../plan.ts';
import { sizeOf } from '../size.ts';

/** Largest integer up to which f32 holds them all. */
const MAX_INTEGER = 2 ** 24;

/** A program as its buffers see it. */
export interface Owner {
  /** Why its results and states are lost. */
  failure: Error | null;
  /** Why it must not run any more, though its results can be read. */
  retired: Error | null;
}

/** Storage on the host. */
export interface GpuBuffer extends Buffer {
  data: TypedArray;
  /** Counts changes of the data, so that a program notices a constant that changed under it. */
  version: number;
  /** The program whose result or resident state this is. */
  owner: Owner | null;
  /** Why the data on the host is not the content, or null. */
  away: string | null;
}

/** Zeros. */
export const allocBuffer = (dtype: DType, length: number): GpuBuffer => ({
  dtype,
  length,
  data: arrayFor(dtype, length),
  version: 0,
  owner: null,
  away: null,
});

/** The buffer of a constant or state. */
export const bufferOf = (value: Value): GpuBuffer => {
  if (!('buffer' in value)) throw new Error('internal: a value without a buffer');
  return value.buffer as GpuBuffer;
};

/** The elements of a value as f32; f32 data is not copied. */
export function floatsOf(value: Value & { readonly offset: number }): Float32Array {
  return widen(contentOf(value), value.dtype);
}

/** The elements of a value as they are on the host; bytes for blocks. */
export function contentOf(value: Value & { readonly offset: number }): TypedArray {
  const { data, owner, dtype } = bufferOf(value);
  if (owner?.failure) throw owner.failure;
  return elements(data, dtype, value.offset, value.offset + sizeOf(value.shape));
}

/** Any host array as f32; f32 is not copied. */
export const widen = (data: TypedArray, dtype: DType): Float32Array =>
  data instanceof Float32Array ? data : toFloat32(data, dtype);

/** Throws for a state whose content is in a pipeline only. */
export function checkPresent(where: string, { away }: GpuBuffer): void {
  if (away !== null)
    throw new UnsupportedError(
      `gpu: ${where}: expected data on the host, got ${away}; a plan that returns the state brings it back`,
    );
}

/** Every value is f32, which holds all integers up to 2^24 and not all beyond. */
export function checkIntegers(where: string, dtype: DType, data: TypedArray): void {
  if (dtype !== 'i32') return;
  for (const value of data)
    if (value > MAX_INTEGER || value < -MAX_INTEGER)
      throw new UnsupportedError(
        `gpu: ${where}: expected i32 values from -2^24 to 2^24 (every value is f32), got ${value}`,
      );
}

/** Takes rows of a result to the host. */
export function store(buffer: GpuBuffer, rows: readonly Float32Array[], columns: number): void {
  const { data, dtype, length } = buffer;
  for (let row = 0; row < rows.length && row * columns < length; row++) {
    const values = rows[row].subarray(0, columns);
    data.set(dtype === 'f32' ? values : fromFloat32(values, dtype), row * columns);
  }
  buffer.version++;
}
