// The proof itself: it finds every known mutant, by the amount worked out by hand where there is one.
import { describe, expect, it } from 'vitest';
import { explore } from '../../src/speculate/chance.ts';
import type { Noise } from '../../src/speculate/noise.ts';
import { prove } from '../../src/speculate/prove.ts';
import { massOf } from '../../src/speculate/sample.ts';
import type { Verifier } from '../../src/speculate/verifier.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { asRow, chain, constant, probs, rounded, totalVariation, vectors } from './laws.ts';
import { mutants, rejectionOf } from './mutants.ts';

/** Shapes and rounds that between them show every fault. */
const TRIALS = [
  { branching: [1, 1], rounds: 1 },
  { branching: [2], rounds: 1 },
  { branching: [3], rounds: 1 },
  { branching: [2, 1], rounds: 1 },
  { branching: [1, 1], rounds: 3 },
];

function worstError(verifier: Verifier): number {
  return Math.max(...TRIALS.map((trial) => prove({ ...chain, verifier, ...trial }).maxError));
}

/** Chooses through the enumeration and returns the probability of every result. */
function lawOf(vocabulary: number, choose: (noise: Noise) => unknown): Record<string, number> {
  const law: Record<string, number> = {};
  explore(
    vocabulary,
    (noise) => choose(noise.round(0)),
    (result, probability) => {
      law[String(result)] = (law[String(result)] ?? 0) + probability;
    },
  );
  return law;
}

describe('prove', () => {
  it('accepts the parts that the mutants are made from', () => {
    expect(worstError(rejectionOf({}))).toBeLessThan(1e-12);
  });

  for (const [name, verifier] of Object.entries(mutants))
    it(`finds the verifier that ${name}`, () => {
      expect(worstError(verifier)).toBeGreaterThan(1e-3);
    });

  it('measures the bias of recovering with the noise of the draft as worked out', () => {
    const { p, q, output, tv } = vectors.R.reused_noise_bias;
    const emitted = firstTokens('recovers with the noise of the draft', p, q, 1);
    expect(rounded(emitted)).toEqual(output);
    expect(totalVariation(emitted, p)).toBeCloseTo(tv, 6);
  });

  it('measures the bias of dropping sampled tokens as worked out', () => {
    const { p, q, output, tv } = vectors.M;
    const verifier = rejectionOf({}, (law, position, count, noise) =>
      rejection
        .draw(law, position, count, noise)
        .filter(({ token }) => massOf(law, token) >= vectors.M.p_min),
    );
    const { emitted } = prove({
      verifier,
      vocabulary: 4,
      target: constant(p),
      draft: constant(q),
      branching: [1],
    });
    const row = marginal(emitted, 4);
    expect(rounded(row)).toEqual(output);
    expect(totalVariation(row, p)).toBeCloseTo(tv, 6);
  });

  it('measures the bias of sibling laws that are not renormalised as worked out', () => {
    const { p, q, wrong_variants_k2_output: wrong } = vectors.E;
    const unnormalised = firstTokens('does not normalise the draft law after a sibling', p, q, 2);
    expect(rounded(unnormalised)).toEqual(wrong.no_renorm.output);
    const replaced = firstTokens('judges siblings as drawn with replacement', p, q, 2);
    expect(rounded(replaced)).toEqual(wrong.q_unchanged.output);
  });

  it('refuses options outside their domain', () => {
    const options = { ...chain, verifier: rejection, branching: [1] };
    expect(() => prove({ ...options, vocabulary: 0 })).toThrow(
      'prove: vocabulary: expected a whole number from 1, got 0',
    );
    expect(() => prove({ ...options, branching: [1, 0.5] })).toThrow(
      'prove: branching: expected whole numbers from 1, got [1, 0.5]',
    );
    expect(() => prove({ ...options, rounds: 0 })).toThrow(
      'prove: rounds: expected a whole number from 1, got 0',
    );
    expect(() => prove({ ...options, prompt: [] })).toThrow(
      'prove: prompt: expected at least one token, got none',
    );
  });
});

describe('explore', () => {
  const row = [0.42, 0.08, 0.35, 0.15];

  it('gives a race the law it runs on, and its order that of drawing without replacement', () => {
    const winners = lawOf(4, (noise) => noise.race('shared', 0, probs(row), 1));
    const pairs = lawOf(4, (noise) => noise.race('shared', 0, probs(row), 2));
    for (const [first, mass] of row.entries()) {
      expect(winners[first]).toBeCloseTo(mass, 14);
      for (const [second, other] of row.entries())
        if (second !== first)
          expect(pairs[`${first},${second}`]).toBeCloseTo((mass * other) / (1 - mass), 14);
    }
  });

  it('repeats a race at the same address and not at another', () => {
    const law = probs(row);
    const same = lawOf(4, (noise) => [
      noise.race('shared', 0, law, 2),
      noise.race('shared', 0, law, 1),
    ]);
    expect(Object.keys(same).every((key) => key.split(',')[0] === key.split(',')[2])).toBe(true);
    const apart = lawOf(4, (noise) => [
      noise.race('shared', 0, law, 1),
      noise.race('shared', 1, law, 1),
    ]);
    expect(apart['0,1']).toBeCloseTo(row[0] * row[1], 14);
  });

  it('repeats a coin at the same address', () => {
    const coins = lawOf(2, (noise) => [
      noise.coin('accept', 0, 1, 0.3),
      noise.coin('accept', 0, 1, 0.5),
      noise.coin('accept', 0, 0, 0.5),
    ]);
    expect(coins['true,true,true']).toBeCloseTo(0.15, 14);
    expect(coins['false,true,true']).toBeCloseTo(0.1, 14);
    expect(coins['true,false,true']).toBeUndefined();
  });

  it('couples a coin with the pick that uses its number', () => {
    const both = lawOf(2, (noise) => [
      noise.coin('accept', 0, 0, 0.3),
      noise.pick('accept', 0, probs([0.5, 0.5])),
    ]);
    expect(both['true,0']).toBeCloseTo(0.3, 14);
    expect(both['true,1']).toBeUndefined();
    expect(both['false,0']).toBeCloseTo(0.2, 14);
  });

  it('refuses a choice among nothing', () => {
    const nothing = probs([0, 0]);
    const message = 'prove: expected a law with mass for the choice shared at 2, got none';
    expect(() => lawOf(2, (noise) => noise.race('shared', 2, nothing, 1))).toThrow(message);
    expect(() => lawOf(2, (noise) => noise.pick('shared', 2, nothing))).toThrow(message);
  });

  it('refuses a race with the numbers of a coin', () => {
    const mixed = (noise: Noise) => {
      noise.coin('accept', 3, 0, 0.5);
      noise.race('accept', 3, probs(row), 1);
    };
    expect(() => lawOf(4, mixed)).toThrow(
      'prove: expected either races or coins and picks with the noise accept at 3, round 0, draw 0, got both',
    );
  });
});

/** The law of the first emitted token when a mutant draws `count` children from q. */
function firstTokens(name: string, p: readonly number[], q: readonly number[], count: number) {
  const laws = { vocabulary: 4, target: constant(p), draft: constant(q) };
  const { emitted } = prove({ ...laws, verifier: mutants[name], branching: [count] });
  return marginal(emitted, 4);
}

function marginal(emitted: ReadonlyMap<string, number>, vocabulary: number): number[] {
  const first = new Map<string, number>();
  for (const [key, probability] of emitted) {
    const [token] = key.split(',');
    first.set(token, (first.get(token) ?? 0) + probability);
  }
  return asRow(first, vocabulary);
}
