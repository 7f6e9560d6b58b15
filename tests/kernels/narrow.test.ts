// f32 to 16 bits: the bits of Float16Array and of the float64 rounding, for every pattern's neighbourhood and at random.
import { Float16Array } from '@petamoriken/float16';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrayFor, bf16Table, convert, f16Table, writer } from '../../src/kernels/dtype.ts';

/** Every value of 16 bits, the midpoint to the next, and the f32 numbers beside each. */
function neighbourhood(table: Float64Array): Float32Array {
  const values: number[] = [];
  for (let bits = 0; bits < 0x7f80; bits++) {
    const [a, b] = [table[bits], table[bits + 1]];
    if (!Number.isFinite(a)) break;
    values.push(a, Number.isFinite(b) ? (a + b) / 2 : a);
  }
  const centre = Float32Array.from(values);
  const bits = new Uint32Array(centre.buffer);
  const beside = (step: number) => new Float32Array(bits.map((word) => word + step).buffer);
  const positive = [centre, beside(1), beside(-1)].flatMap((part) => [...part]);
  return Float32Array.from([...positive, ...positive.map((value) => -value)]);
}

/** Where not a number, its sign and payload are free. */
function expectSame(values: Float32Array, got: ArrayLike<number>, want: ArrayLike<number>): void {
  for (const [i, value] of values.entries())
    if (got[i] !== want[i] && !Number.isNaN(value))
      throw new Error(`${value}: expected ${want[i].toString(16)}, got ${got[i].toString(16)}`);
}

const f16 = (values: Float32Array) =>
  new Uint16Array(new Float16Array(values).buffer as ArrayBuffer);
const bf16 = (values: Float32Array) => {
  const out = arrayFor('bf16', values.length);
  const put = writer(out, 'bf16');
  for (const [i, value] of values.entries()) put(i, value);
  return out;
};
const edges = Float32Array.of(
  0,
  -0,
  Infinity,
  -Infinity,
  NaN,
  65504,
  65519.996,
  65520,
  65536,
  3.4e38,
  1e-45,
  2 ** -25,
  2 ** -24,
);

describe.each([
  ['f16', f16, f16Table],
  ['bf16', bf16, bf16Table],
] as const)('f32 to %s', (dtype, oracle, table) => {
  it('has the bits of rounding one by one, around every value and tie', () => {
    for (const values of [edges, neighbourhood(table())])
      expectSame(values, convert(values, 'f32', dtype), oracle(values));
  });

  it('keeps what is not a number so', () => {
    const [bits] = convert(Float32Array.of(NaN), 'f32', dtype);
    expect(table()[bits]).toBeNaN();
  });

  it('has the bits of rounding one by one, for any pattern', () => {
    fc.assert(
      fc.property(fc.uint32Array({ minLength: 1, maxLength: 64 }), (words) => {
        const values = new Float32Array(Uint32Array.from(words).buffer);
        expectSame(values, convert(values, 'f32', dtype), oracle(values));
      }),
      { numRuns: 2000, seed: 17 },
    );
  });
});
