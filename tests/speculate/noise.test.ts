// Addressed randomness: published answers of the generator, the layout of the counter, and independence of order.
import { describe, expect, it } from 'vitest';
import { createNoise, noiseOf, PURPOSES, type Purpose } from '../../src/speculate/noise.ts';
import { point } from '../../src/speculate/sample.ts';
import { philox4x32 } from '../../src/tensor/random.ts';
import { probs, vectors } from './laws.ts';

const purposes = Object.keys(PURPOSES) as Purpose[];

describe('noise', () => {
  it('gives the known answers of Philox4x32-10', () => {
    for (const { ctr, key, out } of vectors.R.philox4x32_10_known_answers) {
      const [c0, c1, c2, c3, k0, k1] = [...ctr, ...key].map((word) => Number.parseInt(word, 16));
      const words = new Uint32Array(4);
      philox4x32(words, c0, c1, c2, c3, k0, k1);
      expect([...words].map((word) => word.toString(16).padStart(8, '0'))).toEqual(out);
    }
  });

  it('is addressed by position, token, purpose and both halves of the seed, and but for `shared` by round and draw', () => {
    const noise = createNoise(5 * 2 ** 32 + 42);
    const words = new Uint32Array(4);
    for (const purpose of purposes) {
      const [stream, round] = purpose === 'shared' ? [0, 0] : [8 * 2, 1 + 7];
      philox4x32(words, 9, 3, PURPOSES[purpose] + stream, round, 42, 5);
      expect(noise.round(7, 2).uniform(purpose, 9, 3)).toBe((words[0] + 0.5) / 2 ** 32);
    }
  });

  it('is its own in every round and every draw of a round, but for the shared numbers', () => {
    const noise = createNoise(3);
    const addresses = [0, 1, 2, 50].flatMap((round) => [0, 1, 63].map((draw) => [round, draw]));
    for (const purpose of purposes) {
      const seen = addresses.map(([round, draw]) =>
        noise.round(round, draw).uniform(purpose, 4, 1),
      );
      expect(new Set(seen).size).toBe(purpose === 'shared' ? 1 : addresses.length);
    }
  });

  it('does not depend on the order of the questions', () => {
    const one = createNoise(7).round(0);
    const other = createNoise(7).round(0);
    const addresses = [0, 1, 2, 3].map((position) => ['accept', position, 5 - position] as const);
    const forwards = addresses.map((address) => one.uniform(...address));
    const backwards = addresses.toReversed().map((address) => other.uniform(...address));
    expect(backwards.toReversed()).toEqual(forwards);
  });

  it('differs between purposes, positions, tokens and seeds', () => {
    const seen = new Set<number>();
    for (const seed of [0, 1, 2 ** 32])
      for (const purpose of purposes)
        for (let index = 0; index < 4; index++) {
          seen.add(createNoise(seed).round(0).uniform(purpose, index, 9));
          seen.add(createNoise(seed).round(0).uniform(purpose, 9, index));
        }
    expect(seen.size).toBe(3 * purposes.length * 8);
  });

  it('accepts strictly below the probability, and needs no number for certainties', () => {
    const noise = noiseOf(() => 0.2);
    expect([0.2, 0.21].map((each) => noise.coin('accept', 0, 0, each))).toEqual([false, true]);
    const silent = noiseOf(() => {
      throw new Error('expected no question, got one');
    });
    expect([0, 1, 4, Number.NaN].map((each) => silent.coin('accept', 0, 0, each))).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect(silent.pick('recover', 0, point(3))).toBe(3);
    expect(silent.race('draft', 0, point(3), 1)).toEqual([3]);
  });

  it('picks with the number of the index, 0 by default', () => {
    const noise = noiseOf((_purpose, _position, token) => (token === 0 ? 0.9 : 0));
    expect(noise.pick('recover', 0, probs([0.5, 0.5]))).toBe(1);
    expect(noise.pick('recover', 0, probs([0.5, 0.5]), 1)).toBe(0);
  });
});
