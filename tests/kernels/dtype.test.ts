// Numbers and bits: every 16-bit pattern against the definition of the format, rounding against exact neighbours.
import { describe, expect, it } from 'vitest';
import {
  arrayFor,
  bf16Table,
  bytesPerElement,
  convert,
  f16Table,
  fromFloat32,
  reader,
  toFloat32,
  writer,
} from '../../src/kernels/dtype.ts';
import type { DType } from '../../src/kernels/plan.ts';

/** A 16-bit float by its definition. */
function decode(bits: number, exponentBits: number): number {
  const mantissaBits = 15 - exponentBits;
  const sign = bits >>> 15 ? -1 : 1;
  const exponent = (bits >>> mantissaBits) & (2 ** exponentBits - 1);
  const mantissa = bits & (2 ** mantissaBits - 1);
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1)
    return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits);
  return sign * (1 + mantissa / 2 ** mantissaBits) * 2 ** (exponent - bias);
}

const FORMATS = [
  ['f16', 5, f16Table],
  ['bf16', 8, bf16Table],
] as const;

const put = (dtype: DType, value: number): number => {
  const data = arrayFor(dtype, 1);
  writer(data, dtype)(0, value);
  return data[0];
};

describe.each(FORMATS)('%s', (dtype, exponentBits, table) => {
  it('has the value of every pattern', () => {
    const every = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
    const expected = Float64Array.from(every, (bits) => decode(bits, exponentBits));
    expect(table()).toEqual(expected);
    const read = reader(every, dtype);
    expect(Float64Array.from(every, (_, index) => read(index))).toEqual(expected);
    expect(toFloat32(every, dtype)).toEqual(Float32Array.from(expected));
  });

  it('gives back every number it can hold', () => {
    for (let bits = 0; bits < 65_536; bits++) {
      const value = decode(bits, exponentBits);
      if (!Number.isNaN(value)) expect(put(dtype, value)).toBe(bits);
    }
    expect(Number.isNaN(decode(put(dtype, Number.NaN), exponentBits))).toBe(true);
  });

  it('rounds to the nearest, ties to the even neighbour', () => {
    const last = (2 ** exponentBits - 1) * 2 ** (15 - exponentBits) - 1;
    for (let bits = 0; bits < last; bits += 7) {
      const [low, high] = [decode(bits, exponentBits), decode(bits + 1, exponentBits)];
      const middle = (low + high) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      // A quarter of the way, and next to the middle by less than f32 can see.
      const nudge = (high - low) * 2 ** -30;
      expect([bits, put(dtype, low + (high - low) / 4)]).toEqual([bits, bits]);
      expect([bits, put(dtype, middle)]).toEqual([bits, even]);
      expect([bits, put(dtype, middle - nudge)]).toEqual([bits, bits]);
      expect([bits, put(dtype, middle + nudge)]).toEqual([bits, bits + 1]);
      expect([bits, put(dtype, -middle)]).toEqual([bits, even + 0x8000]);
    }
  });

  it('overflows to infinity', () => {
    const infinity = (2 ** exponentBits - 1) * 2 ** (15 - exponentBits);
    expect(put(dtype, Number.POSITIVE_INFINITY)).toBe(infinity);
    expect(put(dtype, 1e300)).toBe(infinity);
    expect(put(dtype, -1e300)).toBe(infinity + 0x8000);
  });
});

describe('integers and bool', () => {
  it.each([
    ['i8', 300, 127],
    ['i8', -300, -128],
    ['i8', -1.9, -1],
    ['u8', 300, 255],
    ['u8', -5, 0],
    ['u8', 3.99, 3],
    ['i32', 1e12, 2_147_483_647],
    ['i32', -1e12, -2_147_483_648],
    ['i32', -7.5, -7],
    ['bool', 0, 0],
    ['bool', -0.25, 1],
    ['bool', 7, 1],
  ] as const)('%s holds %d as %d', (dtype, value, expected) => {
    expect(put(dtype, value)).toBe(expected);
  });
});

describe('convert', () => {
  it('goes through numbers between any two dtypes and keeps the array when there is nothing to do', () => {
    const data = Float32Array.of(1.5, -2, 200, 0);
    expect(convert(data, 'f32', 'f32')).toBe(data);
    expect([...convert(data, 'f32', 'i8')]).toEqual([1, -2, 127, 0]);
    const half = fromFloat32(data, 'f16');
    expect(toFloat32(half, 'f16')).toEqual(data);
    expect(toFloat32(convert(half, 'f16', 'bf16'), 'bf16')).toEqual(data);
  });

  it('knows the size of an element', () => {
    for (const [dtype, bytes] of Object.entries(bytesPerElement))
      expect(arrayFor(dtype as DType, 96).byteLength).toBe(96 * bytes);
  });
});
