// Blocks as words of 24 bits: nothing is lost, and the text that reads them gives the sum of the blocks.
import { describe, expect, it } from 'vitest';
import { BLOCK, quantise, widenBlocks } from '../../src/kernels/blocks.ts';
import { f16Table } from '../../src/kernels/dtype.ts';
import { packScales, packWords, sumOfBlocks, wordsOf } from '../../src/kernels/gpu/packed.ts';
import { numbers } from './toy.ts';

describe.each(['q8_0', 'q4_0'] as const)('%s in words', (dtype) => {
  const blocks = 5;
  const values = numbers(3, blocks * BLOCK);
  // Both ends of the range, and a block of zeros.
  values.fill(0, BLOCK, 2 * BLOCK);
  const bytes = quantise(values, dtype);
  const words = packWords(bytes, dtype);
  const scales = packScales(bytes, dtype);

  it('are whole numbers that f32 holds', () => {
    expect(words).toHaveLength(blocks * wordsOf(dtype));
    expect(words.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 24)).toBe(true);
  });

  it('give the sum that the blocks give', () => {
    const weights = new Float32Array(blocks * BLOCK);
    widenBlocks(bytes, dtype, f16Table(), { from: 0, count: blocks }, weights);
    const text = sumOfBlocks(
      'sum',
      { dtype, blocks },
      {
        word: (block, w) => `words[${block} * ${wordsOf(dtype)} + ${w}]`,
        scale: (block) => `scales[${block}]`,
        input: (block, i) => `x[${block} * ${BLOCK} + ${i}]`,
      },
    );
    const sum = new Function('words', 'scales', 'x', `${text}\nreturn sum;`) as (
      ...arrays: readonly Float32Array[]
    ) => number;
    for (let at = 0; at < blocks * BLOCK; at++) {
      const x = new Float32Array(blocks * BLOCK);
      x[at] = 1;
      expect([at, sum(words, scales, x)]).toEqual([at, weights[at] + 0]); // no negative zero
    }
  });
});
