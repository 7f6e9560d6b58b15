// Rules that others have, worked out and measured by the proof: what they come to, and what each does to the law.
import { describe, expect, it } from 'vitest';
import { createAcceptance } from '../../src/speculate/acceptance.ts';
import { lawDraw, pointDraw } from '../../src/speculate/drawn.ts';
import { prove } from '../../src/speculate/prove.ts';
import { argmax, massOf, mostProbable, pick } from '../../src/speculate/sample.ts';
import type { Verifier } from '../../src/speculate/verifier.ts';
import { rejection, rejectionWithReplacement } from '../../src/speculate/verifiers/rejection.ts';
import { walk } from '../../src/speculate/verifiers/walk.ts';
import { constant, firstOf, probs, rounded, totalVariation, vectors } from './laws.ts';
import { mutants, rejectionOf } from './mutants.ts';
import { scripted } from './scripted.ts';

const { B, E, F, K, M, R, U, Y, Z } = vectors;

describe('other rules', () => {
  it('accept less than rejection, but for one that knows the target, as vector B says', () => {
    const { p, q, acceptance_by_policy: wanted } = B;
    const independent: Verifier = {
      ...rejection,
      draw: (law, position, count, noise) =>
        noise.race('draft', position, law, count).map(pointDraw),
    };
    const chosen = (row: readonly number[]): Verifier => ({
      ...rejection,
      draw: () => [pointDraw(argmax(row))],
    });
    const accepted = (verifier: Verifier) => firstOf(verifier, p, q).acceptance;
    expect(accepted(rejection)).toBeCloseTo(wanted.sample_q_then_rejection, 6);
    expect(accepted(independent)).toBeCloseTo(
      wanted.sample_q_then_match_independent_target_sample,
      6,
    );
    expect(accepted(chosen(q))).toBeCloseTo(wanted.argmax_q_point_mass, 6);
    expect(accepted(chosen(p))).toBeCloseTo(wanted.argmax_p_point_mass_oracle, 6);
  });

  it('for points, one coin for all siblings comes to the same as one for each, as vector F says', () => {
    const { p, children_in_order: children, traces_single_coin } = F;
    const draft = () => children.map(pointDraw);
    const { blocks } = prove({
      verifier: rejection,
      vocabulary: 4,
      target: constant(p),
      draft,
      branching: [1],
    });
    const accepted = children.map((child) =>
      [...blocks].reduce(
        (sum, [text, mass]) => (text.startsWith(`${child},`) ? sum + mass : sum),
        0,
      ),
    );
    const left = 1 - accepted.reduce((sum, mass) => sum + mass, 0);
    for (const { u, picked } of traces_single_coin)
      expect([...children, 'residual'][pick([...accepted, left], u)]).toBe(picked);
  });

  it('a length that grows by two and shrinks by one, as in vector Y, follows the last round only', () => {
    const { start, events } = Y.hf_heuristic;
    let length = start;
    for (const [outcome, expected] of events) {
      length = outcome === 'all' ? length + 2 : Math.max(1, length - 1);
      expect(length).toBe(expected);
    }
    // What is learnt here leans on all rounds: of as many good as bad ones the order decides little.
    const belief = (rounds: readonly boolean[]) => {
      const acceptance = createAcceptance(1);
      for (const accepted of rounds) acceptance.add(1, accepted ? 1 : 0);
      return acceptance.at(1);
    };
    const [good, bad] = [Array<boolean>(9).fill(true), Array<boolean>(9).fill(false)];
    expect(Math.abs(belief([...good, ...bad]) - belief([...bad, ...good]))).toBeLessThan(0.2);
  });

  it('the mean of speeds is not the speed, as vector Z says', () => {
    const { tokens, seconds, mean_of_speeds, ratio_of_sums } = Z.spec_bench_speed;
    const sum = (values: readonly number[]) => values.reduce((total, each) => total + each, 0);
    const speeds = tokens.map((count, text) => count / seconds[text]);
    expect(sum(speeds) / speeds.length).toBeCloseTo(mean_of_speeds, 9);
    expect(sum(tokens) / sum(seconds)).toBeCloseTo(ratio_of_sums, 6);
  });

  it('lenience may also take its factor into the residual, and is then farther off, as vector K says', () => {
    for (const { lenience, other_residual: other, tv, max_out_over_p } of K.cases) {
      const verifier = rejectionOf({
        threshold: ({ owed, drawnFrom, token }) =>
          massOf(owed, token) / (lenience * massOf(drawnFrom, token)),
        residual: ({ owed, drawnFrom }) => {
          const row = K.p.map((_, token) =>
            Math.max(0, massOf(owed, token) - lenience * massOf(drawnFrom, token)),
          );
          const total = row.reduce((sum, mass) => sum + mass, 0);
          return probs(row.map((mass) => mass / total));
        },
      });
      const { row } = firstOf(verifier, K.p, K.q);
      expect(rounded(row)).toEqual(other.output);
      expect(totalVariation(row, K.p)).toBeCloseTo(other.tv, 6);
      expect(other.tv).toBeGreaterThanOrEqual(tv);
      expect(Math.max(...row.map((mass, token) => mass / K.p[token]))).toBeCloseTo(
        max_out_over_p,
        6,
      );
    }
  });

  it('a child may be taken for what its target thinks of it, whatever drew it, as vector K says', () => {
    const { p, child, cases } = K.threshold_single;
    for (const { threshold_single: sure, threshold_acc: scale, accept } of cases) {
      const verifier = rejectionOf({
        threshold: ({ owed, token }) =>
          massOf(owed, token) >= sure ? 1 : massOf(owed, token) / scale,
      });
      const { blocks } = prove({
        verifier,
        vocabulary: 4,
        target: constant(p),
        draft: () => child.map(pointDraw),
        branching: [1],
      });
      const accepted = [...blocks].filter(([text]) => text.startsWith(`${child[0]},`));
      expect(accepted.reduce((sum, [, mass]) => sum + mass, 0)).toBeCloseTo(accept, 12);
    }
  });

  it('candidates may be judged alike, each by the same ratio, as K-SEQ does: the law stays, as vector E says', () => {
    const laws = { vocabulary: 4, target: constant(E.p), draft: constant(E.q) };
    for (const [count, { rho, beta, acceptance, residual }] of Object.entries(E.kseq)) {
      const k = Number(count);
      const common = E.p.reduce((sum, mass, x) => sum + Math.min(mass / rho, E.q[x]), 0);
      // The ratio has six digits.
      expect(common).toBeCloseTo(beta, 5);
      const spent = (1 - (1 - common) ** k) / common;
      const left = E.p.map((mass, x) => Math.max(0, mass - spent * Math.min(mass / rho, E.q[x])));
      const total = left.reduce((sum, mass) => sum + mass, 0);
      expect(rounded(left.map((mass) => (mass < 1e-5 ? 0 : mass / total)))).toEqual(residual);
      // Copies of a token are judged anew, so every candidate has a coin of its own.
      const kseq: Verifier = {
        ...rejectionWithReplacement,
        verify: (input) =>
          walk(input, (target, position, children) => {
            for (const [index, node] of children.entries()) {
              const { token } = input.draft.tokens[node];
              const chance = Math.min(1, E.p[token] / (rho * E.q[token]));
              if (input.noise.coin('accept', position, token + 4 * index, chance))
                return { accepted: node };
            }
            const owed = children.length > 0 ? probs(left) : target;
            return { next: input.noise.pick('recover', position, owed) };
          }),
      };
      const first = prove({ ...laws, verifier: kseq, branching: [k] });
      expect(first.expectedTokens - 1).toBeCloseTo(acceptance, 5);
      expect(first.maxError).toBeLessThan(1e-5);
    }
  });

  it('a token that was drawn may not decide whether it is tested, as vector M says', () => {
    const { p, q, output, tv } = M.drop_depends_on_token;
    const dropped = rejectionOf({}, (law, position, count, noise) =>
      rejection.draw(law, position, count, noise).filter(({ token }) => token !== 1),
    );
    const { row } = firstOf(dropped, p, q);
    expect(rounded(row)).toEqual(output);
    expect(totalVariation(row, p)).toBeCloseTo(tv, 6);
  });

  it('the better of two drawn tokens is not a drawn token, as vector M says', () => {
    const best = rejectionOf({}, (law, position, _count, noise) => {
      const drawn = rejectionWithReplacement.draw(law, position, 2, noise);
      const [first] = mostProbable(law, 4).filter((token) =>
        drawn.some((each) => each.token === token),
      );
      return [lawDraw(first, law)];
    });
    const { row } = firstOf(best, M.p, M.q);
    expect(rounded(row)).toEqual(M.best_of_two.output);
    expect(totalVariation(row, M.p)).toBeCloseTo(M.best_of_two.tv, 6);
  });

  it('the noise of a draft that was rejected says too much about what is left, as vector R says', () => {
    const { p, q, residual_effective } = R.reused_noise_bias;
    const { rejected } = firstOf(mutants['recovers with the noise of the draft'], p, q);
    const total = rejected.reduce((sum, mass) => sum + mass, 0);
    expect(rounded(rejected.map((mass) => mass / total))).toEqual(residual_effective);
  });

  it('a logprob is of the target, neither of what is left nor of the draft, as vector U says', () => {
    const { draft: token, emitted, logprob, ...wrong } = U.example;
    const { noise, picks } = scripted([0.999999], 0.9);
    const draft = { tokens: [lawDraw(token, probs(B.q))] };
    const { next } = rejection.verify({ draft, law: () => probs(U.p), position: 0, noise });
    expect(next).toBe(emitted);
    expect(Math.log(U.p[next])).toBeCloseTo(logprob, 6);
    expect(Math.log(massOf(picks[0], next))).toBeCloseTo(wrong.wrong_residual_logprob, 6);
    expect(Math.log(B.q[next])).toBeCloseTo(wrong.wrong_draft_logprob, 6);
  });
});
