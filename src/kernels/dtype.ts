// Host storage of each dtype and the way between numbers and bits. Floats round to the nearest, ties to even; integers
// truncate towards zero and clamp to their range; bool is 1 for anything but zero. f16 and bf16 live in Uint16Arrays as
// their bit patterns, so that no engine needs Float16Array.
import { Float16Array } from '@petamoriken/float16';
import {
  BLOCK,
  BLOCK_BYTES,
  type BlockDType,
  blockElement,
  isBlocked,
  quantise,
  widenBlocks,
} from './blocks.ts';
import { ShapeError } from './errors.ts';
import { narrowBf16, narrowF16 } from './narrow.ts';
import type { DType, TypedArray } from './plan.ts';

/** Size of one element in bytes; of a block dtype the share of an element, exactly. */
export const bytesPerElement: Readonly<Record<DType, number>> = {
  f32: 4,
  f16: 2,
  bf16: 2,
  q8_0: BLOCK_BYTES.q8_0 / BLOCK,
  q4_0: BLOCK_BYTES.q4_0 / BLOCK,
  i8: 1,
  i32: 4,
  u8: 1,
  bool: 1,
};

/**
 * Entries of the host array of so many elements: as many, or bytes of whole blocks. Throws a ShapeError for part of a
 * block.
 */
export function entriesOf(dtype: DType, elements: number): number {
  if (!isBlocked(dtype)) return elements;
  if (elements % BLOCK !== 0)
    throw new ShapeError(`${dtype}: expected whole blocks of ${BLOCK} elements, got ${elements}`);
  return (elements / BLOCK) * BLOCK_BYTES[dtype];
}

/** The entries of an array in `into`, or in one of their own, which is never shared. */
export function copyOf(data: TypedArray, into?: TypedArray): TypedArray {
  if (into === undefined) return data.slice();
  into.set(data);
  return into;
}

/** Elements [from, to) of a host array, without a copy. */
export function elements(data: TypedArray, dtype: DType, from: number, to: number): TypedArray {
  return data.subarray(entriesOf(dtype, from), entriesOf(dtype, to));
}

/** The class of the host array of each dtype. */
export const ARRAYS = {
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  q8_0: Uint8Array,
  q4_0: Uint8Array,
  i8: Int8Array,
  i32: Int32Array,
  u8: Uint8Array,
  bool: Uint8Array,
} as const satisfies Readonly<Record<DType, new (length: number) => TypedArray>>;

/** A zero-filled host array. */
export function arrayFor(dtype: DType, length: number): TypedArray {
  return new ARRAYS[dtype](entriesOf(dtype, length));
}

/** Reads element i of `data` as a number. */
export function reader(data: TypedArray, dtype: DType): (i: number) => number {
  if (dtype === 'f16') {
    const table = f16Table();
    return (i) => table[data[i]];
  }
  if (dtype === 'bf16') return (i) => bf16ToNumber(data[i]);
  if (isBlocked(dtype)) return blockElement(data as Uint8Array, dtype, f16Table());
  return (i) => data[i];
}

/** Stores a number as element i of `data`, rounded to the dtype; elements of blocks are not stored one by one. */
export function writer(data: TypedArray, dtype: DType): (i: number, value: number) => void {
  switch (dtype) {
    case 'f32':
      return (i, value) => {
        data[i] = value;
      };
    case 'f16': {
      const halves = new Float16Array(data.buffer as ArrayBuffer, data.byteOffset, data.length);
      return (i, value) => {
        halves[i] = value;
      };
    }
    case 'bf16':
      return (i, value) => {
        data[i] = bf16FromNumber(value);
      };
    case 'bool':
      return (i, value) => {
        data[i] = value === 0 ? 0 : 1;
      };
    case 'q8_0':
    case 'q4_0':
      return () => {
        throw new Error(`internal: an element of ${dtype} is written without its block`);
      };
    default: {
      const [low, high] = RANGES[dtype];
      return (i, value) => {
        data[i] = Math.min(high, Math.max(low, Math.trunc(value)));
      };
    }
  }
}

/** The elements as f32; an f32 array is returned as it is, not copied. */
export function toFloat32(data: TypedArray, dtype: DType): Float32Array {
  return convert(data, dtype, 'f32') as Float32Array;
}

/** f32 rounded to `dtype`; for f32 the array itself. */
export function fromFloat32(data: Float32Array, dtype: DType): TypedArray {
  return convert(data, 'f32', dtype);
}

/** The elements in another dtype; the array itself when the dtype stays. */
export function convert(data: TypedArray, from: DType, to: DType): TypedArray {
  if (from === to) return data;
  if (isBlocked(from)) return convert(fromBlocks(data as Uint8Array, from), 'f32', to);
  if (isBlocked(to)) {
    entriesOf(to, data.length);
    return quantise(toFloat32(data, from), to);
  }
  const { length } = data;
  const out = arrayFor(to, length);
  // The two ways every 16-bit checkpoint takes, without a call per element.
  if (from === 'bf16' && to === 'f32') {
    const bits = new Uint32Array(out.buffer);
    for (let i = 0; i < length; i++) bits[i] = data[i] << 16;
    return out;
  }
  if (from === 'f16' && to === 'f32') {
    const table = f16Table();
    for (let i = 0; i < length; i++) out[i] = table[data[i]];
    return out;
  }
  // And the two ways back.
  if (from === 'f32' && to === 'f16') {
    narrowF16(data as Float32Array, out as Uint16Array);
    return out;
  }
  if (from === 'f32' && to === 'bf16') {
    narrowBf16(data as Float32Array, out as Uint16Array);
    return out;
  }
  const at = reader(data, from);
  const put = writer(out, to);
  for (let i = 0; i < length; i++) put(i, at(i));
  return out;
}

function fromBlocks(data: Uint8Array, dtype: BlockDType): Float32Array {
  const count = data.length / BLOCK_BYTES[dtype];
  const out = new Float32Array(count * BLOCK);
  widenBlocks(data, dtype, f16Table(), { from: 0, count }, out);
  return out;
}

const RANGES: Readonly<Record<'i8' | 'i32' | 'u8', readonly [number, number]>> = {
  i8: [-128, 127],
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u8: [0, 255],
};

const word = new Float32Array(1);
const wordBits = new Uint32Array(word.buffer);

function bf16ToNumber(bits: number): number {
  wordBits[0] = bits << 16;
  return word[0];
}

/**
 * The nearest bf16 of a float64. Rounding through f32 could round twice, so a tie that f32 made is decided by the number
 * itself: it is a real tie only when f32 held the number exactly.
 */
function bf16FromNumber(value: number): number {
  word[0] = value;
  const bits = wordBits[0];
  if (Number.isNaN(value)) return 0x7fc0;
  const upper = bits >>> 16;
  const rest = bits & 0xffff;
  if (rest !== 0x8000) return rest > 0x8000 ? upper + 1 : upper;
  const beyond = Math.abs(value) - Math.abs(word[0]);
  if (beyond !== 0) return beyond > 0 ? upper + 1 : upper;
  return upper + (upper & 1);
}

let f16Values: Float64Array | undefined;
let bf16Values: Float64Array | undefined;

/** The value of every f16 bit pattern, f64 [65536]; made once, on first use. */
export function f16Table(): Float64Array {
  f16Values ??= Float64Array.from(new Float16Array(everyPattern().buffer as ArrayBuffer));
  return f16Values;
}

/** The value of every bf16 bit pattern, f64 [65536]; made once, on first use. */
export function bf16Table(): Float64Array {
  bf16Values ??= Float64Array.from(everyPattern(), bf16ToNumber);
  return bf16Values;
}

function everyPattern(): Uint16Array {
  return Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
}
