// Raw words: kernels written for them, with the functions of the device played in JavaScript, give the sums of the weights.
import { describe, expect, it } from 'vitest';
import { BLOCK, BLOCK_BYTES } from '../../src/kernels/blocks.ts';
import { fromFloat32, toFloat32 } from '../../src/kernels/dtype.ts';
import { packScales } from '../../src/kernels/gpu/packed.ts';
import {
  PER_RAW_WORD,
  packRawWords,
  RAW_FUNCTIONS,
  type RawDType,
  rawWordsOf,
  staysRaw,
  sumOfRawBlocks,
  sumOfRawPairs,
} from '../../src/kernels/gpu/raw.ts';
import { numbers } from './toy.ts';

/** What WGSL does, by name, with the bits of a word: numbers of JavaScript would not keep those of what is none. */
const functions = Object.fromEntries(
  Object.entries(PER_RAW_WORD).flatMap(([dtype, lanes]) =>
    Array.from({ length: lanes }, (_, lane) => [
      `raw${dtype.replace('_0', '')}at${lane}`,
      (bits: number) => {
        if (dtype === 'q8_0') return (bits << (24 - 8 * lane)) >> 24;
        if (dtype === 'q4_0') return ((bits >>> (4 * lane)) & 15) - 8;
        const half = Uint16Array.of(lane === 0 ? bits & 0xffff : bits >>> 16);
        return toFloat32(half, dtype as 'bf16' | 'f16')[0];
      },
    ]),
  ),
);

/** Runs statements that leave `sum`. */
function evaluate(
  text: string,
  { words, ...arrays }: Readonly<Record<string, Float32Array>>,
): number {
  const scope = { ...functions, ...arrays, words: new Uint32Array(words.buffer) };
  return new Function(...Object.keys(scope), `${text}\nreturn sum;`)(...Object.values(scope));
}

const LENGTH = 3 * BLOCK;

describe.each(['q8_0', 'q4_0', 'bf16', 'f16'] as const)('raw words of %s', (dtype: RawDType) => {
  const weights = fromFloat32(numbers(4, LENGTH), dtype);
  const values = toFloat32(weights, dtype);
  const words = packRawWords(weights, dtype);

  it('take the bytes of the file, and nothing more', () => {
    expect(staysRaw(dtype, LENGTH)).toBe(true);
    const scaleBytes = dtype in BLOCK_BYTES ? 2 * 3 : 0;
    expect(words.byteLength).toBe(weights.byteLength - scaleBytes);
    const own = RAW_FUNCTIONS.filter(({ name }) =>
      name.startsWith(`raw${dtype.replace('_0', '')}at`),
    );
    expect(own).toHaveLength(PER_RAW_WORD[dtype]);
  });

  it('give every weight', () => {
    for (let at = 0; at < LENGTH; at++) {
      const x = new Float32Array(LENGTH);
      x[at] = 1;
      const text =
        dtype === 'q8_0' || dtype === 'q4_0'
          ? sumOfRawBlocks(
              'sum',
              { dtype, blocks: 3 },
              {
                word: (block, w) => `words[${block} * ${rawWordsOf(dtype)} + ${w}]`,
                scale: (block) => `scales[${block}]`,
                input: (block, i) => `x[${block} * ${BLOCK} + ${i}]`,
              },
            )
          : sumOfRawPairs(
              'sum',
              { dtype, words: LENGTH / 2 },
              { word: (i) => `words[${i}]`, input: (i, lane) => `x[2 * (${i}) + ${lane}]` },
            );
      const scales =
        dtype === 'q8_0' || dtype === 'q4_0'
          ? packScales(weights as Uint8Array, dtype)
          : new Float32Array(0);
      expect([at, evaluate(text, { words, scales, x }) + 0]).toEqual([at, values[at] + 0]);
    }
  });
});

it('leaves pairs of an odd number of columns alone', () => {
  expect([staysRaw('bf16', 33), staysRaw('f32', 32), staysRaw('f16', 2)]).toEqual([
    false,
    false,
    true,
  ]);
});
