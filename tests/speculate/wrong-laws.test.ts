// What a verifier emits that judges by another law than it should: the worked examples, measured by the proof. Each has been shipped somewhere.
import { describe, expect, it } from 'vitest';
import { lawDraw, pointDraw } from '../../src/speculate/drawn.ts';
import type { Law } from '../../src/speculate/law.ts';
import { createProcessor, SamplingOptions } from '../../src/speculate/processors.ts';
import { prove } from '../../src/speculate/prove.ts';
import { massOf, mostProbable } from '../../src/speculate/sample.ts';
import type { Verifier } from '../../src/speculate/verifier.ts';
import { greedy } from '../../src/speculate/verifiers/greedy.ts';
import { match } from '../../src/speculate/verifiers/match.ts';
import { rejection, rejectionWithReplacement } from '../../src/speculate/verifiers/rejection.ts';
import { block, traversal } from '../../src/speculate/verifiers/traversal.ts';
import { constant, firstOf, probs, rounded, totalVariation, vectors } from './laws.ts';
import { mutants, rejectionOf } from './mutants.ts';
import { rowOf, scripted } from './scripted.ts';

const { AA, B, D, E, L, R } = vectors;

describe('with the processors of vector L', () => {
  const { temperature, top_k, top_p, min_p, repetition_penalty, logit_bias } = L.settings;
  const truncation = { topK: top_k, topP: top_p, minP: min_p };
  const penalties = { repetitionPenalty: repetition_penalty, logitBias: logit_bias };
  const rowUnder = (logits: readonly number[], options: object) => {
    const law = createProcessor(SamplingOptions.parse(options), 0)(
      Float32Array.from(logits),
      L.history,
    );
    return logits.map((_, token) => massOf(law, token));
  };
  const p = rowUnder(L.target_logits, { temperature, ...truncation, ...penalties });
  const q = rowUnder(L.draft_logits, { temperature, ...truncation, ...penalties });
  /** The draft's own, as its logits say. */
  const raw = probs(rowUnder(L.draft_logits, { temperature: 1 }));
  const { wrong_variants: wrong } = L;

  const expectRow = (row: readonly number[], { output, tv }: { output: number[]; tv: number }) => {
    expect(rounded(row)).toEqual(output);
    expect(totalVariation(row, p)).toBeCloseTo(tv, 6);
  };

  it('the emitted law is that of the processed target', () => {
    expect(rounded(firstOf(rejection, p, q).row)).toEqual(rounded(p));
  });

  it('a token that was chosen is not one that was drawn', () => {
    const chosen = rejectionOf({}, (law) => [lawDraw(mostProbable(law, 1)[0], raw)]);
    expectRow(firstOf(chosen, p, q).row, wrong.greedy_draft_token_but_softmax_q_in_test);
  });

  it('a token drawn from one law is not judged as drawn from another', () => {
    const restated = rejectionOf({}, (law, position, count, noise) =>
      rejection.draw(law, position, count, noise).map(({ token }) => lawDraw(token, raw)),
    );
    expectRow(firstOf(restated, p, q).row, wrong.draft_drawn_from_processed_q_test_uses_raw_q);
  });

  it('what the target leaves out of its processors shows', () => {
    const judgedBy = (options: object) =>
      firstOf(rejection, rowUnder(L.target_logits, options), q).row;
    expectRow(judgedBy({ temperature, ...truncation }), wrong.target_without_penalty_and_bias);
    expectRow(judgedBy({ temperature, ...penalties }), wrong.target_truncated_only_in_bonus_row);
    const { minP: _, ...others } = truncation;
    expectRow(judgedBy({ temperature, ...others, ...penalties }), wrong.min_p_dropped);
  });

  it('what is left after a rejection is of the processed target', () => {
    const unprocessed = rowUnder(L.target_logits, { temperature: 1 });
    const owed = unprocessed.map((mass, token) => Math.max(0, mass - q[token]));
    const total = owed.reduce((sum, mass) => sum + mass, 0);
    const { row, rejected } = firstOf(rejection, p, q);
    const lost = rejected.reduce((sum, mass) => sum + mass, 0);
    expectRow(
      row.map((mass, token) => mass - rejected[token] + (lost * owed[token]) / total),
      wrong.residual_from_unprocessed_target,
    );
    const { row: resampled } = firstOf(
      mutants['recovers from the target instead of the residual'],
      p,
      q,
    );
    expectRow(resampled, wrong.resample_from_p_instead_of_residual);
  });

  it('a mask holds for the target and for the draft', () => {
    const never = Number.NEGATIVE_INFINITY;
    const masked = {
      ...penalties,
      logitBias: { ...logit_bias, 1: never, 2: never, 4: never },
    };
    const under = (logits: readonly number[]) =>
      rounded(rowUnder(logits, { temperature, ...truncation, ...masked }));
    expect(under(L.target_logits)).toEqual(L.allowed_0_3.p);
    expect(under(L.draft_logits)).toEqual(L.allowed_0_3.q);
  });
});

describe('with the mask of vector AA', () => {
  const masked = (row: readonly number[]) => {
    const total = AA.allowed.reduce((sum, token) => sum + row[token], 0);
    return row.map((mass, token) => (AA.allowed.includes(token) ? mass / total : 0));
  };
  const [p, q] = [masked(AA.p), masked(AA.q)];

  it.each([rejection, block, traversal, match])(
    '$name keeps the law of what is allowed, whatever the draft knows of it',
    (verifier) => {
      for (const draft of [AA.q, q])
        expect(rounded(firstOf(verifier, p, draft).row)).toEqual(AA.p_masked);
    },
  );

  it('a draft that knows it is accepted more often', () => {
    expect(rounded(q)).toEqual(AA.q_masked);
    expect(firstOf(rejection, p, AA.q).acceptance).toBeCloseTo(AA.acceptance_q_unmasked, 6);
    expect(firstOf(rejection, p, q).acceptance).toBeCloseTo(AA.acceptance_q_masked, 6);
    const { noise, picks } = scripted([0.999999], 0);
    const draft = { tokens: [lawDraw(1, probs(AA.q))] };
    rejection.verify({ draft, law: () => probs(p), position: 0, noise });
    expect(rowOf(picks[0])).toEqual(AA.residual_q_unmasked);
  });

  it.each([greedy, rejection])('$name asks for no row behind a token that it rejects', (each) => {
    const { tokens, draft, row_allowed } = AA.row_masks_example;
    const asked: number[] = [];
    const law = (row: number): Law => {
      asked.push(row);
      const allowed = row_allowed[row];
      if (allowed.length === 0) throw new Error('expected no mask of a text that cannot be');
      return probs(tokens.map((_, token) => (allowed.includes(token) ? 1 / allowed.length : 0)));
    };
    const drafted = draft.map((text) => pointDraw(tokens.indexOf(text)));
    const { noise } = scripted([0.5, 0.5], 0.9);
    const { path } = each.verify({ draft: { tokens: drafted }, law, position: 0, noise });
    expect(path).toEqual([0]);
    expect(new Set(asked)).toEqual(new Set([0, 1]));
  });
});

describe('bounds of acceptance', () => {
  it('are met by rejection for one token: what the laws have in common', () => {
    expect(totalVariation(B.p, B.q)).toBeCloseTo(B.tv, 6);
    expect(firstOf(rejection, B.p, B.q).acceptance).toBeCloseTo(1 - B.tv, 6);
  });

  it('hold for shared noise from below, as vector R says', () => {
    for (const [index, { p, q }] of R.shared_noise_match.entries()) {
      const distance = totalVariation(p, q);
      const bound = (1 - distance) / (1 + distance);
      expect(bound).toBeCloseTo(R.lower_bound[index], 6);
      expect(firstOf(match, p, q).acceptance).toBeGreaterThan(bound);
    }
  });

  it('hold for blocks from above: what the joint laws have in common, as vector D says', () => {
    const [target, draft] = [
      [1 / 3, 2 / 3],
      [2 / 3, 1 / 3],
    ];
    for (const [length, bound] of Object.entries(D.sum_of_joint_overlaps)) {
      let sum = 0;
      let paths = [{ p: 1, q: 1 }];
      for (let depth = 0; depth < Number(length); depth++) {
        paths = paths.flatMap(({ p, q }) =>
          target.map((mass, token) => ({ p: p * mass, q: q * draft[token] })),
        );
        sum += paths.reduce((overlap, { p, q }) => overlap + Math.min(p, q), 0);
      }
      expect(sum).toBeCloseTo(bound, 6);
      const accepted = (D.E_accepted_block as Record<string, number>)[length];
      expect(accepted).toBeLessThan(bound + 1e-9);
    }
  });

  it('hold for siblings from above: no rule accepts more than the optimal transport of vector E', () => {
    const laws = { vocabulary: 4, target: constant(E.p), draft: constant(E.q) };
    const accepted = (verifier: Verifier, count: number) =>
      prove({ ...laws, verifier, branching: [count] }).expectedTokens - 1;
    for (const [count, bound] of Object.entries(E.optimal_transport_without_replacement))
      expect(accepted(rejection, Number(count))).toBeLessThan(bound + 1e-6);
    for (const [count, bound] of Object.entries(E.optimal_transport_with_replacement))
      expect(accepted(rejectionWithReplacement, Number(count))).toBeLessThan(bound + 1e-6);
  });
});
