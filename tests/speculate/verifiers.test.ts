// The verifiers against the worked examples: scripted noise for single steps, exact enumeration for laws.
import { describe, expect, it } from 'vitest';
import { lawDraw, pointDraw } from '../../src/speculate/drawn.ts';
import { createNoise, type Noise } from '../../src/speculate/noise.ts';
import { prove } from '../../src/speculate/prove.ts';
import { argmax, point, race } from '../../src/speculate/sample.ts';
import type { Verifier } from '../../src/speculate/verifier.ts';
import { greedy } from '../../src/speculate/verifiers/greedy.ts';
import { lenient } from '../../src/speculate/verifiers/lenient.ts';
import { match } from '../../src/speculate/verifiers/match.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { tolerant } from '../../src/speculate/verifiers/tolerant.ts';
import { traversal } from '../../src/speculate/verifiers/traversal.ts';
import { typical } from '../../src/speculate/verifiers/typical.ts';
import { asRow, chain, constant, probs, rounded, totalVariation, vectors } from './laws.ts';
import { rowOf, scripted } from './scripted.ts';
import { verifierConformance } from './verifier-conformance.ts';

verifierConformance('greedy', greedy);
verifierConformance('match', match);
verifierConformance('rejection', rejection);
verifierConformance('tolerant, tolerating nothing,', tolerant(3, 0));

describe('greedy', () => {
  it('gives the tokens of vector A', () => {
    const { A } = vectors;
    for (const example of [A, A.all_accepted_case, A.empty_draft_case]) {
      const draft = { tokens: example.draft.map(pointDraw) };
      const law = (row: number) => point(example.target_argmax_per_row[row]);
      const { path, next } = greedy.verify({
        draft,
        law,
        position: 0,
        noise: createNoise(0).round(0),
      });
      expect(path.length).toBe(example.accepted);
      expect([...path.map((node) => draft.tokens[node].token), next]).toEqual(example.emitted);
    }
  });

  it('draws the most probable tokens, ties to the lower index', () => {
    const drawn = greedy.draw(probs([0.2, 0.3, 0.2, 0.3]), 0, 3, createNoise(0).round(0));
    expect(drawn).toEqual([1, 3, 0].map(pointDraw));
  });
});

describe('rejection', () => {
  it('follows the traces of vector B', () => {
    const { p, q, traces, residual } = vectors.B;
    for (const trace of traces) {
      const { noise, picks } = scripted([trace.u], trace.u_residual ?? 0);
      const draft = { tokens: [lawDraw(trace.draft, probs(q))] };
      const { path, next } = rejection.verify({ draft, law: () => probs(p), position: 0, noise });
      expect(path.length).toBe(trace.accepted ? 1 : 0);
      expect(trace.accepted ? trace.draft : next).toBe(trace.emitted);
      if (!trace.accepted) expect(rowOf(picks[0])).toEqual(residual);
    }
  });

  it('follows the traces of vector C', () => {
    const { target_rows: rows, target_start: start, draft_start, draft_rows, traces } = vectors.C;
    for (const trace of traces) {
      const law = (row: number) => probs(row === 0 ? start : rows[trace.draft[row - 1]]);
      const tokens = trace.draft.map((token, depth) =>
        lawDraw(token, probs(depth === 0 ? draft_start : draft_rows[trace.draft[depth - 1]])),
      );
      const { noise } = scripted(
        trace.rows.map(({ u }) => u),
        trace.u_last,
      );
      const { path, next } = rejection.verify({ draft: { tokens }, law, position: 0, noise });
      expect([...path.map((node) => tokens[node].token), next]).toEqual(trace.emitted);
    }
  });

  it('judges siblings with the thresholds of vector E', () => {
    const { p, q, walk_candidates_1_3_2: walked } = vectors.E;
    const law = probs(q);
    const tokens = walked.steps.map(({ candidate }) => lawDraw(candidate, law));
    const { noise, thresholds } = scripted([0.999999, 0, 0.5], 0);
    const draft = { tokens, parents: [-1, -1, -1] };
    const verdict = rejection.verify({ draft, law: () => probs(p), position: 0, noise });
    const asProbabilities = thresholds.map((threshold) => Math.min(1, threshold));
    expect(rounded(asProbabilities)).toEqual(walked.steps.map((step) => step.accept_if_u_below));
    expect(verdict.path).toEqual([2]);
  });

  it('judges points with the thresholds and the residual of vector F', () => {
    const { p, children_in_order, sequential, residual } = vectors.F;
    const { noise, thresholds, picks } = scripted([0.99, 0.99], 0.5);
    const draft = { tokens: children_in_order.map(pointDraw), parents: [-1, -1] };
    rejection.verify({ draft, law: () => probs(p), position: 0, noise });
    expect(rounded(thresholds)).toEqual(sequential.map((step) => step.accept_if_u_below));
    expect(rowOf(picks[0])).toEqual(residual);
  });

  it('does not count a child twice', () => {
    const { children, acceptance } = vectors.F.duplicate_children_trap;
    const draft = () => children.map(pointDraw);
    const target = constant(vectors.F.p);
    const proof = prove({ verifier: rejection, vocabulary: 4, target, draft, branching: [1] });
    expect(proof.expectedTokens - 1).toBeCloseTo(acceptance, 12);
  });

  it('has the acceptance of vectors B, D, E and F', () => {
    const { B, D, E, F } = vectors;
    const one = { verifier: rejection, vocabulary: 4, target: constant(B.p) };
    for (const [count, acceptance] of Object.entries(E.recursive_without_replacement)) {
      const proof = prove({ ...one, draft: constant(B.q), branching: [Number(count)] });
      expect(proof.expectedTokens - 1).toBeCloseTo(acceptance, 6);
    }
    const looked = prove({
      ...one,
      draft: () => F.children_in_order.map(pointDraw),
      branching: [1],
    });
    expect(looked.expectedTokens - 1).toBeCloseTo(F.acceptance, 6);
    const { draft_token: token, acceptance } = B.point_mass_draft;
    const single = prove({ ...one, draft: () => [pointDraw(token)], branching: [1] });
    expect(single.expectedTokens - 1).toBeCloseTo(acceptance, 6);
    for (const [length, accepted] of Object.entries(D.E_accepted_token)) {
      const { expectedTokens } = prove({
        verifier: rejection,
        vocabulary: 2,
        target: constant([1 / 3, 2 / 3]),
        draft: constant([2 / 3, 1 / 3]),
        branching: Array(Number(length)).fill(1),
      });
      expect(expectedTokens - 1).toBeCloseTo(accepted, 6);
    }
  });

  it('has the block lengths and block law of vector C', () => {
    for (const [length, wanted] of Object.entries(vectors.C.length_distribution_token)) {
      const { blocks } = prove({ ...chain, verifier: rejection, branching: ones(length) });
      const lengths = wanted.map((_, index) => {
        const ofLength = [...blocks].filter(([key]) => key.split(',').length === index + 1);
        return ofLength.reduce((sum, [, probability]) => sum + probability, 0);
      });
      expect(rounded(lengths)).toEqual(wanted);
    }
    const { blocks } = prove({ ...chain, verifier: rejection, branching: [1, 1] });
    const wanted = Object.entries(vectors.C.emission_token_2);
    expect(blocks.size).toBe(wanted.length);
    for (const [key, probability] of wanted) expect(blocks.get(key)).toBeCloseTo(probability, 6);
  });

  it('has the tokens per round of vector I for every tree', () => {
    for (const { branching, E_tokens } of Object.values(vectors.I))
      expect(prove({ ...chain, verifier: rejection, branching }).expectedTokens).toBeCloseTo(
        E_tokens,
        6,
      );
  });

  it('emits what the target is certain of, whatever was drawn', () => {
    const { B } = vectors;
    const proof = prove({
      verifier: rejection,
      vocabulary: 4,
      target: () => point(3),
      draft: constant(B.q),
      branching: [2],
    });
    expect([...proof.emitted.keys()].every((key) => key === '3,3')).toBe(true);
    expect(proof.maxError).toBeLessThan(1e-12);
  });

  it('falls back to what is owed when rounding leaves no residual', () => {
    const law = probs([0.5, 0.5]);
    const { noise, picks } = scripted([2], 0.2);
    const never: Noise = { ...noise, coin: () => false };
    const draft = { tokens: [lawDraw(0, law)] };
    const { next } = rejection.verify({ draft, law: () => law, position: 0, noise: never });
    expect(next).toBe(0);
    expect(picks).toEqual([law]);
  });

  it('rejects a token that its stated law excludes', () => {
    const draft = { tokens: [lawDraw(0, probs([0, 1]))] };
    const law = () => probs([0.9, 0.1]);
    const { path } = rejection.verify({ draft, law, position: 0, noise: createNoise(1).round(0) });
    expect(path).toEqual([]);
  });
});

describe('children of a node from different laws', () => {
  it.each([rejection, traversal])('keep the law with $name', (verifier) => {
    const draft = (history: readonly number[]) =>
      history.length === 1 ? [pointDraw(2), pointDraw(2), pointDraw(1)] : [];
    const mixed: Verifier = {
      ...verifier,
      draw: (law, position, count, noise) => [
        pointDraw(1),
        ...rejection.draw(law, position, count, noise),
        pointDraw(1),
      ],
    };
    const options = { ...chain, branching: [2, 1] };
    expect(prove({ ...options, verifier: mixed }).maxError).toBeLessThan(1e-12);
    expect(prove({ ...options, draft, verifier }).maxError).toBeLessThan(1e-12);
  });
});

describe('match', () => {
  it('draws and emits the tokens of vector R', () => {
    const { seed, p, q, rows } = vectors.R.exponential_race;
    const noise = createNoise(seed).round(0);
    for (const { position, u, target_token, draft_token, ...times } of rows) {
      const uniforms = u.map((_, token) => noise.uniform('shared', position, token));
      expect(rounded(uniforms)).toEqual(u);
      const arrivals = (law: readonly number[]) =>
        rounded(uniforms.map((each, token) => -Math.log(each) / law[token]));
      expect(arrivals(p)).toEqual(times.race_p);
      expect(arrivals(q)).toEqual(times.race_q);
      const tokens = match.draw(probs(q), position, 1, noise);
      expect(tokens).toEqual([pointDraw(draft_token)]);
      const verdict = match.verify({ draft: { tokens }, law: () => probs(p), position, noise });
      expect(verdict.path.length === 1 ? tokens[0].token : verdict.next).toBe(target_token);
    }
  });

  it('has the candidate hits of vector R over ten thousand positions', () => {
    const wanted = vectors.R.race_ordered_candidates;
    const { uniform } = createNoise(wanted.seed).round(0);
    const target = probs(wanted.p);
    const draft = probs(wanted.q);
    const byProbability = [1, 0, 3, 2];
    const counts = [0, 0, 0, 0];
    const hits = [0, 0, 0, 0];
    const staticHits = [0, 0, 0, 0];
    for (let position = 0; position < 10_000; position++) {
      const at = (token: number) => uniform('shared', position, token);
      const [token] = race(target, at);
      const ranked = race(draft, at, 4);
      counts[token]++;
      for (let first = 0; first < 4; first++) {
        if (ranked.indexOf(token) <= first) hits[first]++;
        if (byProbability.indexOf(token) <= first) staticHits[first]++;
      }
    }
    expect(counts).toEqual(wanted.target_token_counts);
    expect(hits).toEqual(wanted.matches_with_first_k_of_draft_race);
    expect(staticHits).toEqual(wanted.matches_with_static_top_k_of_q);
  });

  it('accepts with the probability of the shared-noise formula', () => {
    for (const { p, q, shared_noise_match: wanted } of vectors.R.shared_noise_match) {
      const laws = { vocabulary: p.length, target: constant(p), draft: constant(q) };
      const { expectedTokens } = prove({ ...laws, verifier: match, branching: [1] });
      expect(expectedTokens - 1).toBeCloseTo(wanted, 5);
    }
  });
});

describe('tokens per round on the chain of vector C', () => {
  /** The most probable draft token, as a point. */
  const lookedUp = (history: readonly number[]) => {
    const law = chain.draft(history);
    return [pointDraw('point' in law ? law.point : argmax(law.probs))];
  };
  /** Sampled drafts stated as points: right, but it accepts less than a verifier that knows the law. */
  const independentMatch: Verifier = {
    ...rejection,
    draw: (law, position, count, noise) => noise.race('draft', position, law, count).map(pointDraw),
  };
  for (const [length, wanted] of Object.entries(vectors.C.E_tokens_by_policy))
    it(`are those of every policy for ${length} drafted`, () => {
      const branching = ones(length);
      const perRound = (verifier: Verifier, draft: typeof lookedUp | typeof chain.draft) =>
        prove({ ...chain, draft, verifier, branching }).expectedTokens;
      expect(perRound(rejection, chain.draft)).toBeCloseTo(wanted.token_rejection, 5);
      expect(perRound(match, chain.draft)).toBeCloseTo(wanted.shared_noise_match, 5);
      expect(perRound(rejection, lookedUp)).toBeCloseTo(wanted.argmax_point_mass, 5);
      expect(perRound(match, lookedUp)).toBeCloseTo(wanted.argmax_point_mass, 5);
      const independent = prove({ ...chain, verifier: independentMatch, branching });
      expect(independent.expectedTokens).toBeCloseTo(
        wanted.sampled_draft_then_independent_match,
        5,
      );
      expect(independent.maxError).toBeLessThan(1e-12);
    });

  it('leave the joint law of the target as it is', () => {
    const { target } = prove({ ...chain, verifier: match, branching: [1, 1] });
    for (const [key, probability] of Object.entries(vectors.C.target_joint_3))
      expect(target.get(key)).toBeCloseTo(probability, 6);
    const plain = prove({ ...chain, verifier: match, branching: [] });
    expect(rounded(asRow(plain.emitted, 3))).toEqual(vectors.C.target_start);
  });
});

function ones(length: string): number[] {
  return Array(Number(length)).fill(1);
}

describe('lossy verifiers', () => {
  /** The law of the first token of a round that drafts one, and the mean length of the round. */
  const outcome = (verifier: Verifier, { p, q }: { p: number[]; q: number[] }) => {
    const laws = { target: constant(p), draft: constant(q) };
    const { emitted, expectedTokens } = prove({ ...laws, verifier, vocabulary: 4, branching: [1] });
    const row = [0, 0, 0, 0];
    for (const [tokens, mass] of emitted) row[Number(tokens.split(',')[0])] += mass;
    return { row, expectedTokens };
  };

  it('emit what vector K says of lenience, which at 1 is rejection', () => {
    const { cases, ...laws } = vectors.K;
    for (const { lenience, acceptance, output, tv } of cases) {
      const { row, expectedTokens } = outcome(lenient(lenience), laws);
      expect(rounded(row)).toEqual(output);
      expect(expectedTokens - 1).toBeCloseTo(acceptance, 6);
      expect(totalVariation(row, laws.p)).toBeCloseTo(tv, 6);
      expect(lenient(lenience).guarantee).toBe(lenience === 1 ? 'same law' : 'lossy');
    }
    const anything = outcome(lenient(0), laws);
    expect(rounded(anything.row)).toEqual(laws.q);
    expect(anything.expectedTokens).toBeCloseTo(2, 12);
  });

  it('emit what vector J says of typical acceptance', () => {
    for (const { p, q, eps, delta, acceptance, threshold, ...wanted } of vectors.J.cases) {
      const { row, expectedTokens } = outcome(typical({ epsilon: eps, delta }), { p, q });
      expect(rounded(row)).toEqual(wanted.output_if_draft_sampled_from_q);
      expect(expectedTokens - 1).toBeCloseTo(acceptance, 6);
      expect(totalVariation(row, p)).toBeCloseTo(wanted.tv_to_p, 6);
      const entropy = p.reduce((sum, mass) => sum - mass * Math.log(mass), 0);
      expect(entropy).toBeCloseTo(wanted.entropy_nats, 6);
      // The same tokens by the threshold alone.
      const alone = typical({ epsilon: threshold, delta: 1 });
      expect(rounded(outcome(alone, { p, q }).row)).toEqual(rounded(row));
    }
  });

  it('accept what is near enough to the best token of the target, among so many', () => {
    const law = () => probs([0.4, 0.35, 0.05, 0.2]);
    const next = (verifier: Verifier, token: number) => {
      const draft = { tokens: [pointDraw(token)] };
      const verdict = verifier.verify({ draft, law, position: 0, noise: createNoise(0).round(0) });
      return verdict.path.length > 0 ? 'accepted' : verdict.next;
    };
    const near = Math.log(0.4 / 0.35) + 1e-9;
    expect([0, 1, 2, 3].map((token) => next(tolerant(2, near), token))).toEqual([
      'accepted',
      'accepted',
      0,
      0,
    ]);
    expect(next(tolerant(2, 9), 3)).toBe(0);
    expect(next(tolerant(3, 9), 3)).toBe('accepted');
    expect(next(tolerant(2, 0), 1)).toBe(0);
    expect(next(tolerant(1, 9), 1)).toBe(0);
    expect(tolerant(2, 0.1).guarantee).toBe('lossy');
    expect(() => tolerant(0, 1)).toThrow('tolerant: k: expected a whole number from 1, got 0');
    expect(() => tolerant(1, -1)).toThrow('tolerant: tolerance: expected a number from 0, got -1');
  });

  it('name wrong options', () => {
    for (const lenience of [-0.1, 1.1, Number.NaN])
      expect(() => lenient(lenience)).toThrow(`expected a lenience from 0 to 1, got ${lenience}`);
    expect(() => typical({ epsilon: 2 })).toThrow(/typical: [\s\S]*epsilon/);
    const unknown: object = { threshold: 1 };
    expect(() => typical(unknown)).toThrow(/typical: [\s\S]*threshold/);
  });
});
