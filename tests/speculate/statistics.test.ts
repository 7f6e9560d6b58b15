// What counting can show: the numbers of the tests that count, on their worked examples, and how many samples a wrong law needs to be found.
import { describe, expect, it } from 'vitest';
import { chiSquare, upperGamma } from '../../site/chi-square.ts';
import { createNoise } from '../../src/speculate/noise.ts';
import { emit, prove, type SequenceLaw } from '../../src/speculate/prove.ts';
import type { Verifier } from '../../src/speculate/verifier.ts';
import { match } from '../../src/speculate/verifiers/match.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { block, traversal } from '../../src/speculate/verifiers/traversal.ts';
import { blockMutants } from './block-mutants.ts';
import { asRow, chain, constant, probs, totalVariation, vectors } from './laws.ts';
import { mutants } from './mutants.ts';

const { L, R, S } = vectors;

/** The statistic above which chance alone comes with this probability. */
function criticalOf(degrees: number, alpha: number): number {
  let [low, high] = [0, 1000];
  for (let step = 0; step < 80; step++) {
    const middle = (low + high) / 2;
    if (upperGamma(degrees / 2, middle / 2) > alpha) low = middle;
    else high = middle;
  }
  return high;
}

/** How often the test finds a law that is `effect` per sample away: the tail of the noncentral chi-square law, a Poisson mixture. */
function powerOf(samples: number, effect: number, degrees: number, alpha: number): number {
  const half = (samples * effect) / 2;
  const critical = criticalOf(degrees, alpha);
  let power = 0;
  let weight = Math.exp(-half);
  for (let j = 0; j < 400; j++) {
    power += weight * upperGamma(degrees / 2 + j, critical / 2);
    weight *= half / (j + 1);
  }
  return power;
}

/** The fewest samples that find `wrong` 9 times in 10, at a level of 0.001. */
function samplesToFind(law: readonly number[], wrong: readonly number[]): number {
  const cells = law.flatMap((probability, cell) =>
    probability > 0 ? [(wrong[cell] - probability) ** 2 / probability] : [],
  );
  const effect = cells.reduce((sum, each) => sum + each, 0);
  let [low, high] = [0, 1];
  const { alpha, power } = S.samples_to_catch_block_mutants;
  const found = (samples: number) => powerOf(samples, effect, cells.length - 1, alpha) >= power;
  while (!found(high)) high *= 2;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (found(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** The two-sample statistic of counts in the same cells. */
function twoSample(a: readonly number[], b: readonly number[]) {
  const total = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);
  const ratio = Math.sqrt(total(b) / total(a));
  const cells = a.flatMap((count, cell) => {
    const both = count + b[cell];
    return both > 0 ? [(ratio * count - b[cell] / ratio) ** 2 / both] : [];
  });
  return { statistic: total(cells), degrees: cells.length - 1 };
}

describe('the tests that count', () => {
  it('have the critical values of vector S', () => {
    for (const [degrees, byAlpha] of Object.entries(S.chi_square_critical))
      for (const [alpha, critical] of Object.entries(byAlpha)) {
        expect(criticalOf(Number(degrees), Number(alpha))).toBeCloseTo(critical, 5);
        const tail = upperGamma(Number(degrees) / 2, critical / 2);
        expect(tail / Number(alpha)).toBeCloseTo(1, 5);
      }
  });

  it('count picks as far from their law as vector S says, and never beyond its bound', () => {
    for (const { p, N, expected_TV } of S.expected_TV_of_empirical.cases) {
      const bound = (S.TV_bound['t_for_1e-6'] as Record<string, number>)[N];
      expect(Math.sqrt(Math.log(1e6) / (2 * N))).toBeCloseTo(bound, 6);
      if (N > 10_000) continue;
      const { pick } = createNoise(N).round(0);
      const repeats = 60;
      let mean = 0;
      for (let run = 0; run < repeats; run++) {
        const counts = p.map(() => 0);
        for (let each = 0; each < N; each++) counts[pick('recover', run * N + each, probs(p))]++;
        const distance = totalVariation(
          counts.map((count) => count / N),
          p,
        );
        expect(distance).toBeLessThan(expected_TV + bound);
        mean += distance / repeats;
      }
      // Four standard errors: the distance of a run spreads by less than half its mean.
      expect(Math.abs(mean / expected_TV - 1)).toBeLessThan((4 * 0.5) / Math.sqrt(repeats));
    }
  });

  it('expect the distances that vector S says', () => {
    for (const { p, N, expected_TV } of S.expected_TV_of_empirical.cases) {
      const parts = p.map((each) => Math.sqrt((2 * each * (1 - each)) / (Math.PI * N)));
      expect(parts.reduce((sum, each) => sum + each, 0) / 2).toBeCloseTo(expected_TV, 6);
    }
  });

  it('count the races of vector R as near to their law as it says', () => {
    const { p, target_token_counts, chi_square_vs_p, dof } = R.race_ordered_candidates;
    const law = new Map(p.map((each, token) => [String(token), each]));
    const counts = new Map(target_token_counts.map((count, token) => [String(token), count]));
    const { statistic, degrees } = chiSquare(law, counts);
    expect(statistic).toBeCloseTo(chi_square_vs_p, 6);
    expect(degrees).toBe(dof);
  });
});

describe('two samples', () => {
  it('differ as in vector S', () => {
    const { a, b, chi2, dof } = S.two_sample.example;
    const { statistic, degrees } = twoSample(a, b);
    expect(statistic).toBeCloseTo(chi2, 5);
    expect(degrees).toBe(dof);
  });

  const runs = 4000;
  /** Counts of the texts of many seeds, drafted or plain. */
  const countsOf = (verifier: Verifier, branching: readonly number[], firstSeed: number) => {
    const counts = Array<number>(27).fill(0);
    // As long as the longest draft and one more; the rest is cut off, so that both have three tokens.
    const draft = branching.length > 0 ? chain.draft : () => [];
    const options = { ...chain, verifier, branching: branching.length > 0 ? branching : [1, 1] };
    for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
      const [first, second, third] = emit({ ...options, draft }, createNoise(seed));
      counts[9 * first + 3 * second + third]++;
    }
    return counts;
  };

  it.each([match, rejection, block, traversal])(
    'of plain and of drafted texts are of one law with $name',
    (verifier) => {
      const { statistic, degrees } = twoSample(
        countsOf(verifier, [], 0),
        countsOf(verifier, [1, 1], runs),
      );
      expect(upperGamma(degrees / 2, statistic / 2)).toBeGreaterThan(1e-4);
    },
  );

  it('of plain texts and of those of a wrong verifier are not', () => {
    const wrong = mutants['recovers from the target instead of the residual'];
    const { statistic, degrees } = twoSample(countsOf(wrong, [], 0), countsOf(wrong, [1, 1], runs));
    expect(upperGamma(degrees / 2, statistic / 2)).toBeLessThan(1e-6);
  });
});

describe('the samples that find a wrong law', () => {
  it('are those of vector S for wrong block verifiers', () => {
    const { N } = S.samples_to_catch_block_mutants;
    const names: Record<keyof typeof N, string> = {
      contiguous: 'stops at the first coin that says no',
      w_as_h: 'tosses the running weight instead of what the rest leaves of it',
      token_residual: 'owes the residual of the last token instead of the path',
    };
    const keys = Object.keys(names) as (keyof typeof N)[];
    for (const key of keys) {
      const verifier = blockMutants[names[key]];
      const { emitted, target } = prove({ ...chain, verifier, branching: [1, 1] });
      const row = (law: SequenceLaw) => [...target.keys()].map((text) => law.get(text) ?? 0);
      expect(samplesToFind(row(target), row(emitted))).toBe(N[key]);
    }
  });

  it('are those of vectors L and R for wrong laws of one token', () => {
    for (const [name, { output, samples }] of Object.entries(L.wrong_variants)) {
      if (samples === null) continue; // A single token can be enough: it has no probability.
      // The rows have six digits, the number of samples goes with the square of their difference.
      expect(Math.abs(samplesToFind(L.p, output) / samples - 1), name).toBeLessThan(1e-3);
    }
    const { p, q, 'samples_for_90pct_power_at_alpha_0.001': samples } = R.reused_noise_bias;
    const verifier = mutants['recovers with the noise of the draft'];
    const laws = { vocabulary: 4, target: constant(p), draft: constant(q) };
    const { blocks } = prove({ ...laws, verifier, branching: [1] });
    const first = new Map<string, number>();
    for (const [text, mass] of blocks)
      first.set(text.split(',')[0], (first.get(text.split(',')[0]) ?? 0) + mass);
    expect(samplesToFind(p, asRow(first, 4))).toBe(samples);
  });
});
