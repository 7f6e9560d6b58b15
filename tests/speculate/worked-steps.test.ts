// The numbers on the way of the worked examples of verification: thresholds, weights, residuals and sets that their results come from.
import { describe, expect, it } from 'vitest';
import { lawDraw, pointDraw } from '../../src/speculate/drawn.ts';
import { createNoise } from '../../src/speculate/noise.ts';
import { prove } from '../../src/speculate/prove.ts';
import { point, race } from '../../src/speculate/sample.ts';
import type { Verifier } from '../../src/speculate/verifier.ts';
import { greedy } from '../../src/speculate/verifiers/greedy.ts';
import { match } from '../../src/speculate/verifiers/match.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { block } from '../../src/speculate/verifiers/traversal.ts';
import { typical } from '../../src/speculate/verifiers/typical.ts';
import { chain, firstOf, probs, rounded, totalVariation, vectors } from './laws.ts';
import { mutants, rejectionOf } from './mutants.ts';
import { rowOf, scripted } from './scripted.ts';

const { A, B, C, D, E, F, I, J, R, U, V } = vectors;

const sumOf = (row: readonly number[]) => row.reduce((sum, mass) => sum + mass, 0);
const normalised = (row: readonly number[]) => row.map((mass) => mass / sumOf(row));
/** What is owed of p where q was drawn: (w p - q)+. */
const owedOf = (p: readonly number[], q: readonly number[], weight = 1) =>
  p.map((mass, token) => Math.max(0, weight * mass - q[token]));

/** The threshold of a drafted token, and the law that is picked from when it is rejected. */
function tossed(token: number, p: readonly number[], q: readonly number[]) {
  const { noise, thresholds, picks } = scripted([2], 0);
  const draft = { tokens: [lawDraw(token, probs(q))] };
  rejection.verify({ draft, law: () => probs(p), position: 0, noise });
  return { threshold: thresholds[0], picks };
}

describe('greedy', () => {
  it('looks at the rows of vector A up to the first wrong token only', () => {
    const asked: number[] = [];
    const law = (row: number) => {
      asked.push(row);
      return point(A.target_argmax_per_row[row]);
    };
    const draft = { tokens: A.draft.map(pointDraw) };
    greedy.verify({ draft, law, position: 0, noise: createNoise(0).round(0) });
    expect(asked).toEqual([...A.emitted.keys()]);
    expect(A.target_argmax_per_row).toHaveLength(A.draft.length + 1);
  });
});

describe('rejection', () => {
  it('tosses for p / q, as vector B says', () => {
    for (const { draft, p_over_q } of B.traces)
      expect(tossed(draft, B.p, B.q).threshold).toBeCloseTo(p_over_q, 6);
    const accepted = B.q.map((_, token) => Math.min(1, tossed(token, B.p, B.q).threshold));
    expect(rounded(accepted)).toEqual(B.accept_prob_per_token);
    expect(sumOf(accepted.map((chance, token) => chance * B.q[token]))).toBeCloseTo(
      B.acceptance,
      12,
    );
    expect(firstOf(rejection, B.p, B.q).acceptance).toBeCloseTo(B.acceptance, 12);
    expect(totalVariation(B.p, B.q)).toBeCloseTo(B.tv, 12);
  });

  it('accepts one token as often as the laws of vector D overlap', () => {
    const p = [1 / 3, 2 / 3];
    const q = p.toReversed();
    expect([rounded(p), rounded(q)]).toEqual([D.target, D.draft]);
    expect(1 - totalVariation(p, q)).toBeCloseTo(D.E_accepted_token['1'], 6);
    expect(firstOf(block, p, q).acceptance).toBeCloseTo(D.E_accepted_block['1'], 6);
  });

  it('owes the other tokens after a point, as vector B says', () => {
    const { noise, picks } = scripted([2], 0);
    const draft = { tokens: [pointDraw(B.point_mass_draft.draft_token)] };
    rejection.verify({ draft, law: () => probs(B.p), position: 0, noise });
    expect(rowOf(picks[0])).toEqual(B.point_mass_draft.residual);
  });

  it('goes through the rows of vector C', () => {
    for (const { draft, rows, u_last, ...last } of C.traces) {
      const p = draft.map((_, at) => (at === 0 ? C.target_start : C.target_rows[draft[at - 1]]));
      const q = draft.map((_, at) => (at === 0 ? C.draft_start : C.draft_rows[draft[at - 1]]));
      const { noise, thresholds, picks } = scripted(
        rows.map(({ u }) => u),
        u_last,
      );
      const tokens = draft.map((token, at) => lawDraw(token, probs(q[at])));
      const law = (row: number) => probs(p[row] ?? C.target_rows[draft[row - 1]]);
      const { path } = rejection.verify({ draft: { tokens }, law, position: 0, noise });
      for (const [at, row] of rows.entries()) {
        expect([draft[at], p[at][draft[at]], q[at][draft[at]]]).toEqual([row.draft, row.p, row.q]);
        expect(Math.min(1, thresholds[at])).toBeCloseTo(row.accept_if_u_below, 6);
        expect(at < path.length).toBe(row.accepted);
      }
      expect(rowOf(picks[0]).slice(0, 3)).toEqual(last.bonus_row ?? last.residual);
    }
  });

  it('owes less with every sibling of vector E', () => {
    let [owed, drawn, left] = [E.p, E.q, 1];
    const { steps, probability_all_rejected, final_residual } = E.walk_candidates_1_3_2;
    for (const { candidate, r, s, accept_if_u_below, probability_accepted_here } of steps) {
      expect(rounded(owed)).toEqual(r);
      expect(rounded(drawn)).toEqual(s);
      const accepted = Math.min(1, owed[candidate] / drawn[candidate]);
      expect(accepted).toBeCloseTo(accept_if_u_below, 6);
      expect(left * accepted).toBeCloseTo(probability_accepted_here, 6);
      left *= 1 - accepted;
      owed = normalised(owedOf(owed, drawn));
      drawn = normalised(drawn.map((mass, token) => (token === candidate ? 0 : mass)));
    }
    expect(left).toBeCloseTo(probability_all_rejected, 12);
    // Nobody comes there.
    expect(final_residual).toBeNull();
  });

  it('is off by what vector E says where siblings are judged wrongly', () => {
    const wrong = E.wrong_variants_k2_output;
    for (const { output, tv } of [wrong.no_renorm, wrong.q_unchanged])
      expect(totalVariation(output, E.p)).toBeCloseTo(tv, 6);
  });

  it('looks at points one after the other, as vector F says', () => {
    let owed: readonly number[] = F.p;
    let from = 0;
    for (const [at, { child, accept_if_u_below, p_after_zero_and_renorm }] of [
      ...F.sequential.entries(),
    ]) {
      expect(child).toBe(F.children_in_order[at]);
      if (p_after_zero_and_renorm) expect(rounded(owed)).toEqual(p_after_zero_and_renorm);
      expect(owed[child]).toBeCloseTo(accept_if_u_below, 6);
      owed = normalised(owed.map((mass, token) => (token === child ? 0 : mass)));
      // With one coin for all, the child has the interval of its own mass.
      const to = from + F.p[child];
      expect(rounded([from, to])).toEqual(F.intervals_single_coin[at]);
      from = to;
    }
    expect(rounded([from, 1])).toEqual(F.intervals_single_coin[F.sequential.length]);
    const { children, wrong_if_counted_twice } = F.duplicate_children_trap;
    expect(sumOf(children.map((child) => F.p[child]))).toBeCloseTo(wrong_if_counted_twice, 12);
  });

  it('owes what vector V says after a draft of another vocabulary', () => {
    const q = V.target_vocab.map((_, id) => {
      const own = Object.entries(V.draft_to_target).find(([, target]) => target === id);
      return own === undefined ? 0 : V.q_draft_space[Number(own[0])];
    });
    const { picks } = tossed(3, V.p, normalised(q));
    expect(rowOf(picks[0])).toEqual(V.residual);
  });

  it('needs noise of its own for what is left, as vector R says', () => {
    const { p, q, residual_correct } = R.reused_noise_bias;
    expect(rounded(normalised(owedOf(p, q)))).toEqual(residual_correct);
    const rejected = ({ rejected: row }: ReturnType<typeof firstOf>) => rounded(normalised(row));
    expect(rejected(firstOf(rejection, p, q))).toEqual(residual_correct);
    const mutant = mutants['recovers with the noise of the draft'];
    expect(rejected(firstOf(mutant, p, q))).not.toEqual(residual_correct);
  });

  it('draws from the law of vector U that its logprob is not of', () => {
    const { draft, rejected, emitted, wrong_draft_logprob } = U.example;
    expect(Math.log(U.q[emitted])).toBeCloseTo(wrong_draft_logprob, 6);
    expect(tossed(draft, U.p, U.q).threshold < 1).toBe(rejected);
  });
});

describe('block verification', () => {
  it('has the weights of vector C for every path, reached or not', () => {
    for (const [key, wanted] of Object.entries(C.block_quantities)) {
      const path = key.split(',').map(Number);
      const weights = [1];
      const sums: number[] = [];
      const residuals: number[][] = [];
      for (const [at, token] of path.entries()) {
        const p = at === 0 ? C.target_start : C.target_rows[path[at - 1]];
        const q = at === 0 ? C.draft_start : C.draft_rows[path[at - 1]];
        const owed = owedOf(p, q, weights[at]);
        sums.push(sumOf(owed));
        residuals.push(rounded(normalised(owed)));
        weights.push(Math.min(1, (weights[at] * p[token]) / q[token]));
      }
      // The leaf is accepted with its weight, a node above it with what its children leave.
      const chances = weights.map((weight, at) => {
        const rest = sums[at];
        return rest === undefined ? weight : rest / (rest + 1 - weight);
      });
      expect(rounded(weights)).toEqual(wanted.w);
      expect(rounded(sums)).toEqual(wanted.Z);
      expect(rounded(chances)).toEqual(wanted.h);
      expect(residuals).toEqual([wanted.residual_after_0, wanted.residual_after_1]);
    }
  });

  it('tosses for them from the leaf up', () => {
    const { path, coins, h1_h2, tests } = C.block_non_contiguous;
    const tokens = path.map((token, at) =>
      lawDraw(token, probs(at === 0 ? C.draft_start : C.draft_rows[path[at - 1]])),
    );
    const law = (row: number) => probs(row === 0 ? C.target_start : C.target_rows[path[row - 1]]);
    const { noise, thresholds } = scripted([2, 2], 0);
    block.verify({ draft: { tokens }, law, position: 0, noise });
    expect(rounded(thresholds.toReversed())).toEqual(h1_h2);
    expect(coins.map((coin, at) => coin < h1_h2[at])).toEqual(tests);
  });
});

describe('the best that any rule could do', () => {
  /** Every set of tokens with the cut that it is: what it may be given, and drafts that have a token besides. */
  const least = (besides: (set: readonly number[]) => number) => {
    const sets = Array.from({ length: 16 }, (_, bits) =>
      [0, 1, 2, 3].filter((token) => (bits >> token) & 1),
    );
    const cuts = sets.map((set) => sumOf(set.map((token) => E.p[token])) + besides(set));
    const best = cuts.findIndex((cut) => cut <= Math.min(...cuts) + 1e-12);
    return { set: sets[best], cut: cuts[best] };
  };
  const massIn = (set: readonly number[]) => sumOf(set.map((token) => E.q[token]));
  /** Chance that so many tokens drawn without replacement are all of the set. */
  const allIn = (set: readonly number[], count: number, left = 1): number =>
    count === 0
      ? 1
      : sumOf(
          set.map(
            (token) =>
              (E.q[token] / left) *
              allIn(
                set.filter((other) => other !== token),
                count - 1,
                left - E.q[token],
              ),
          ),
        );

  it('is the least cut, by the sets of vector E', () => {
    const without = E.optimal_transport_sets_without_replacement;
    const withIt = E.optimal_transport_sets_with_replacement;
    for (const [key, wanted] of Object.entries(E.optimal_transport_without_replacement)) {
      const { set, cut } = least((each) => 1 - allIn(each, Number(key)));
      expect(cut).toBeCloseTo(wanted, 6);
      expect(set).toEqual(without[key as keyof typeof without]);
    }
    for (const [key, wanted] of Object.entries(E.optimal_transport_with_replacement)) {
      const { set, cut } = least((each) => 1 - massIn(each) ** Number(key));
      expect(cut).toBeCloseTo(wanted, 6);
      expect(set).toEqual(withIt[key as keyof typeof withIt]);
    }
  });

  it('and the least that shared noise does, is as vector R says', () => {
    for (const { p, q, ...wanted } of R.shared_noise_match) {
      const distance = totalVariation(p, q);
      expect((1 - distance) / (1 + distance)).toBeCloseTo(wanted.lower_bound, 6);
      expect(1 - distance).toBeCloseTo(wanted.rejection_optimum, 6);
      const matched = firstOf(match, p, q).acceptance;
      expect(matched).toBeGreaterThanOrEqual(wanted.lower_bound);
      expect(matched).toBeLessThanOrEqual(wanted.rejection_optimum + 1e-9);
      expect(firstOf(rejection, p, q).acceptance).toBeCloseTo(wanted.rejection_optimum, 6);
      const asPoints: Verifier['draw'] = (law, position, count, noise) =>
        rejection.draw(law, position, count, noise).map(({ token }) => pointDraw(token));
      expect(firstOf(rejectionOf({}, asPoints), p, q).acceptance).toBeCloseTo(wanted.sum_pq, 6);
      const best = q.indexOf(Math.max(...q));
      const pointed = rejectionOf({}, () => [pointDraw(best)]);
      expect(firstOf(pointed, p, q).acceptance).toBeCloseTo(wanted.argmax_q, 6);
    }
  });

  it('is met by races, counted as often as in vector R', () => {
    const [{ p, q, shared_noise_match: chance }] = R.shared_noise_match;
    const { n, match_rate_within_4_sigma: isNear } = R.monte_carlo_check;
    const { uniform } = createNoise(7).round(0);
    const [target, draft] = [probs(p), probs(q)];
    let hits = 0;
    for (let position = 0; position < n; position++) {
      const at = (token: number) => uniform('shared', position, token);
      if (race(target, at)[0] === race(draft, at)[0]) hits += 1;
    }
    const sigma = Math.sqrt((chance * (1 - chance)) / n);
    expect(Math.abs(hits / n - chance) < 4 * sigma).toBe(isNear);
  });
});

describe('the proof', () => {
  it('plays as many drafts as vector I counts', () => {
    for (const { branching, number_of_draft_trees: wanted } of Object.values(I)) {
      const drafts = new Set<string>();
      const watched: Verifier = {
        ...rejection,
        verify(input) {
          drafts.add(input.draft.tokens.map(({ token }) => token).join());
          return rejection.verify(input);
        },
      };
      prove({ ...chain, verifier: watched, branching });
      expect(drafts.size).toBe(wanted);
    }
  });
});

describe('typical acceptance', () => {
  it('takes the tokens of vector J', () => {
    for (const { p, q, eps: epsilon, delta, accepted_tokens } of J.cases) {
      const law = () => probs(p);
      const isAccepted = (_: number, token: number) => {
        const draft = { tokens: [lawDraw(token, probs(q))] };
        const noise = createNoise(0).round(0);
        const { path } = typical({ epsilon, delta }).verify({ draft, law, position: 0, noise });
        return path.length > 0 ? [token] : [];
      };
      expect(p.flatMap(isAccepted)).toEqual(accepted_tokens);
    }
  });
});
