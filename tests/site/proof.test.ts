// The proof of the playground: it believes the verifiers, finds the one that is wrong on purpose, and counts as it should.
import { describe, expect, it } from 'vitest';
import { chiSquare, upperGamma } from '../../site/chi-square.ts';
import { runProof } from '../../site/proof.ts';

const REQUEST = { vocabulary: 3, branching: [1, 1], seed: 1, likeness: 0.5, runs: 5000 };

describe('a proof', () => {
  for (const verifier of ['match', 'rejection'] as const)
    for (const branching of [[1], [1, 1], [2], [2, 1]])
      it(`holds for ${verifier} over [${branching}], by enumeration and by counting`, () => {
        const { rows, maxError, chiSquare: test } = runProof({ ...REQUEST, verifier, branching });
        expect(maxError).toBeLessThan(1e-12);
        expect(test.pValue).toBeGreaterThan(1e-4);
        const total = (pick: (row: (typeof rows)[number]) => number) =>
          rows.reduce((sum, row) => sum + pick(row), 0);
        expect(total(({ target }) => target)).toBeCloseTo(1, 12);
        expect(total(({ emitted }) => emitted)).toBeCloseTo(1, 12);
        expect(total(({ count }) => count)).toBe(REQUEST.runs);
      });

  it('finds the verifier that forgets what it owes, by both', () => {
    const { maxError, chiSquare: test } = runProof({ ...REQUEST, verifier: 'forgetful' });
    expect(maxError).toBeGreaterThan(1e-3);
    expect(test.pValue).toBeLessThan(1e-6);
  });

  it('is of the emitted law for that verifier too: the counts fit it', () => {
    const { rows } = runProof({ ...REQUEST, verifier: 'forgetful', branching: [1], runs: 20_000 });
    const law = new Map(rows.map(({ text, emitted }) => [text, emitted]));
    const counts = new Map(rows.map(({ text, count }) => [text, count]));
    expect(chiSquare(law, counts).pValue).toBeGreaterThan(1e-4);
  });
});

describe('the chi-square test', () => {
  it('has the tail of tables', () => {
    // Critical values at 0.05 and 0.001 of many degrees.
    for (const [degrees, critical, tail] of [
      [1, 3.841458820694124, 0.05],
      [5, 11.070497693516351, 0.05],
      [10, 18.307038053275146, 0.05],
      [26, 38.88513865983007, 0.05],
      [100, 124.34211340400407, 0.05],
      [1, 10.827566170662733, 0.001],
      [30, 59.70306430442993, 0.001],
    ])
      expect(upperGamma(degrees / 2, critical / 2)).toBeCloseTo(tail, 12);
    // One degree is erfc, two are an exponential.
    expect(upperGamma(1, 3)).toBeCloseTo(Math.exp(-3), 14);
    expect(upperGamma(0.5, 0)).toBe(1);
  });

  it('counts cells that expect little together, and excludes what the law excludes', () => {
    const law = new Map([
      ['a', 0.5],
      ['b', 0.46],
      ['c', 0.02],
      ['d', 0.02],
    ]);
    const counts = new Map([
      ['a', 50],
      ['b', 46],
      ['c', 4],
    ]);
    expect(chiSquare(law, counts)).toEqual({ statistic: 0, degrees: 2, pValue: 1 });
    expect(chiSquare(law, new Map([['e', 1]])).pValue).toBe(0);
  });
});
