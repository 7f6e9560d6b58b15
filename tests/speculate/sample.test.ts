// Choosing tokens: argmax, inverse CDF, races, and log probabilities.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  argmax,
  logSoftmaxAt,
  massOf,
  mostProbable,
  pick,
  point,
  race,
} from '../../src/speculate/sample.ts';
import { probs, rounded, vectors } from './laws.ts';

/** Weights with zeros among them, and at least one that is not. */
const weights = fc
  .array(fc.oneof(fc.constant(0), fc.double({ min: 1e-300, max: 1, noNaN: true })), {
    minLength: 1,
    maxLength: 12,
  })
  .filter((row) => row.some((weight) => weight > 0));
const coin = fc.double({ min: 0, max: 1, noNaN: true });

describe('argmax', () => {
  it('gives ties to the lowest index', () => {
    expect(argmax([1, 3, 2, 3])).toBe(1);
    expect(argmax([5, 5])).toBe(0);
  });

  it('never takes NaN', () => {
    expect(argmax([Number.NaN, 1])).toBe(1);
    expect(argmax([1, Number.NaN])).toBe(0);
  });

  it('takes a token even if all are forbidden', () => {
    expect(argmax([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY])).toBe(0);
  });
});

describe('pick', () => {
  it('gives the lowest index whose running sum exceeds the coin', () => {
    const row = [0.25, 0, 0.5, 0.25];
    expect([0, 0.2, 0.25, 0.74, 0.75, 0.999].map((each) => pick(row, each))).toEqual([
      0, 0, 2, 2, 3, 3,
    ]);
  });

  it('takes weights that are not normalised', () => {
    expect([0.2, 0.3].map((each) => pick([1, 3], each))).toEqual([0, 1]);
  });

  it('never gives a token without mass, for coins up to 1', () => {
    fc.assert(
      fc.property(weights, fc.oneof(coin, fc.constantFrom(0, 1)), (row, each) => {
        expect(row[pick(row, each)]).toBeGreaterThan(0);
      }),
      { seed: 1 },
    );
  });

  it('refuses weights without mass', () => {
    expect(() => pick([0, 0], 0.5)).toThrow('pick: expected a positive, finite total, got 0');
    expect(() => pick([Number.NaN, 1], 0.5)).toThrow('got NaN');
  });
});

describe('race', () => {
  it('gives the winners of vector R', () => {
    for (const { u, target_token, draft_token } of vectors.R.exponential_race.rows) {
      const at = (token: number) => u[token];
      expect(race(probs(vectors.R.exponential_race.p), at)).toEqual([target_token]);
      expect(race(probs(vectors.R.exponential_race.q), at)).toEqual([draft_token]);
    }
  });

  it('orders like sorting all arrival times, ties to the lowest index', () => {
    const time = fc.constantFrom(0.1, 0.2, 0.3, 0.5, 0.9);
    fc.assert(
      fc.property(
        weights,
        fc.array(time, { minLength: 12, maxLength: 12 }),
        fc.nat(13),
        (row, uniforms, count) => {
          const arrival = (token: number) => -Math.log(uniforms[token]) / row[token];
          const sorted = [...row.keys()]
            .filter((token) => row[token] > 0)
            .sort((a, b) => (arrival(a) === arrival(b) ? a - b : arrival(a) - arrival(b)));
          expect(race(probs(row), (token) => uniforms[token], count)).toEqual(
            sorted.slice(0, count),
          );
        },
      ),
      { seed: 1 },
    );
  });

  it('asks for no number of a token without mass', () => {
    const asked: number[] = [];
    race(probs([0, 1, 0, 1]), (token) => {
      asked.push(token);
      return 0.5;
    });
    expect(asked).toEqual([1, 3]);
  });

  it('refuses a law without mass', () => {
    expect(() => race(probs([0, Number.NaN]), () => 0.5)).toThrow(
      'race: expected a token with mass, got none',
    );
  });

  it('knows the winner of a point law', () => {
    expect(race(point(7), () => 0.5, 3)).toEqual([7]);
  });
});

describe('mostProbable', () => {
  it('gives the best first and ties to the lowest index', () => {
    expect(mostProbable(probs([0.2, 0.4, 0, 0.2, 0.2]), 3)).toEqual([1, 0, 3]);
    expect(mostProbable(probs([0, 1]), 3)).toEqual([1]);
    expect(mostProbable(point(4), 2)).toEqual([4]);
  });
});

describe('mostProbable of a point', () => {
  const scores = Float64Array.of(0.5, 2, Number.NEGATIVE_INFINITY, 2, 1);
  it('ranks the others by its scores, without what is forbidden', () => {
    expect(mostProbable({ point: 1, scores }, 3)).toEqual([1, 3, 4]);
    expect(mostProbable({ point: 1, scores }, 9)).toEqual([1, 3, 4, 0]);
    expect(mostProbable({ point: 1, scores }, 1)).toEqual([1]);
  });

  it('is the point where it has none', () => {
    expect(mostProbable({ point: 4 }, 3)).toEqual([4]);
    expect(mostProbable({ point: 4 }, 0)).toEqual([]);
  });
});

describe('massOf', () => {
  it('reads both kinds of laws, and zero outside the vocabulary', () => {
    expect([massOf(point(2), 2), massOf(point(2), 1)]).toEqual([1, 0]);
    expect([massOf(probs([0.3, 0.7]), 1), massOf(probs([1]), 5)]).toEqual([0.7, 0]);
  });
});

describe('logSoftmaxAt', () => {
  it('gives the log probabilities of vector U', () => {
    const logits = Float32Array.from(vectors.U.p, Math.log);
    const given = vectors.U.p.map((_, token) => logSoftmaxAt(logits, token));
    expect(rounded(given)).toEqual(vectors.U.ln_p);
  });

  it('is stable for large logits, and knows forbidden tokens', () => {
    const logits = Float32Array.of(3e38, 3e38, Number.NEGATIVE_INFINITY);
    expect(logSoftmaxAt(logits, 0)).toBeCloseTo(-Math.LN2, 12);
    expect(logSoftmaxAt(logits, 2)).toBe(Number.NEGATIVE_INFINITY);
  });
});
