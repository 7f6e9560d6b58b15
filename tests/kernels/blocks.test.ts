// Blocks of quantised weights: layout by hand, rounding at its edges, and the error a block may have.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BlockDType, quantise } from '../../src/kernels/blocks.ts';
import { arrayFor, convert, reader, toFloat32 } from '../../src/kernels/dtype.ts';

const ramp = Float32Array.from({ length: 32 }, (_, i) => i - 16);

describe('q8_0', () => {
  it('has an f16 scale and 32 signed bytes', () => {
    const values = new Float32Array(32);
    values.set([127, -127, 0.5, -0.5, 1.49, 64]);
    const block = quantise(values, 'q8_0');
    expect(block.length).toBe(34);
    expect([...block.subarray(0, 2)]).toEqual([0x00, 0x3c]); // 1 as f16, little endian
    expect([...new Int8Array(block.buffer, 2, 6)]).toEqual([127, -127, 1, -1, 1, 64]);
  });
});

describe('q4_0', () => {
  it('has an f16 scale, and weight j in the low and j + 16 in the high half of byte j', () => {
    const block = quantise(ramp, 'q4_0');
    expect(block.length).toBe(18);
    expect([...block.subarray(0, 2)]).toEqual([0x00, 0x40]); // 2 as f16
    // (x / 2 + 8.5) truncated: -16 is 0, -15 is 1 (0.5 + 0.5), 15 would be 16 and is clipped to 15.
    const expected = [...ramp].map((x) => Math.min(15, Math.trunc(x / 2 + 8.5)));
    for (let j = 0; j < 16; j++) {
      expect(block[2 + j] & 15).toBe(expected[j]);
      expect(block[2 + j] >> 4).toBe(expected[j + 16]);
    }
  });

  it('gives the weight of the largest magnitude the end of the scale that reaches it', () => {
    const values = new Float32Array(32);
    values[5] = 8;
    values[6] = -7;
    const widened = toFloat32(quantise(values, 'q4_0'), 'q4_0');
    expect(widened[5]).toBe(8);
    expect(widened[6]).toBe(-7);
  });
});

describe.each(['q8_0', 'q4_0'] as const)('%s', (dtype: BlockDType) => {
  it('keeps zeros', () => {
    expect([...toFloat32(quantise(new Float32Array(64), dtype), dtype).map(Math.abs)]).toEqual(
      Array(64).fill(0),
    );
  });

  it('is off by half a step at most, a whole one where q4_0 clips, and what f16 loses of the scale', () => {
    const number = fc.float({ min: -100, max: 100, noNaN: true });
    fc.assert(
      fc.property(fc.array(number, { minLength: 64, maxLength: 64 }), (values) => {
        const data = Float32Array.from(values);
        const widened = toFloat32(quantise(data, dtype), dtype);
        for (let i = 0; i < 64; i++) {
          const block = data.subarray(i - (i % 32), i - (i % 32) + 32);
          const largest = Math.max(...block.map(Math.abs));
          const step = dtype === 'q8_0' ? largest / 254 : largest / 8;
          expect(Math.abs(widened[i] - data[i])).toBeLessThanOrEqual(
            step * 1.001 + largest * 2 ** -10 + 1e-5,
          );
        }
      }),
      { seed: 20_263 },
    );
  });

  it('gives the same numbers element by element and all at once', () => {
    const data = Float32Array.from({ length: 128 }, (_, i) => Math.sin(i * 1.7) * 3);
    const blocks = convert(data, 'f32', dtype);
    const at = reader(blocks, dtype);
    expect(Float32Array.from({ length: 128 }, (_, i) => at(i))).toEqual(toFloat32(blocks, dtype));
  });

  it('refuses part of a block', () => {
    expect(() => arrayFor(dtype, 33)).toThrow(
      `${dtype}: expected whole blocks of 32 elements, got 33`,
    );
    expect(() => convert(new Float32Array(31), 'f32', dtype)).toThrow('got 31');
  });
});
