// Wrong verifiers, each wrong in one way that has been shipped somewhere. The proof must find every one of them.
import { lawDraw } from '../../src/speculate/drawn.ts';
import type { Law } from '../../src/speculate/law.ts';
import type { Noise } from '../../src/speculate/noise.ts';
import { argmax, massOf, mostProbable } from '../../src/speculate/sample.ts';
import type { Verifier, VerifyInput } from '../../src/speculate/verifier.ts';
import { match } from '../../src/speculate/verifiers/match.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { acceptEqual, walk } from '../../src/speculate/verifiers/walk.ts';

/** One judged child: what the target is owed, what the child was drawn from, its probability under both. */
interface Trial {
  readonly owed: Law;
  readonly drawnFrom: Law;
  readonly token: number;
}

/** The parts of rejection, each of which a mutant may replace. Vocabularies of three or four tokens. */
interface Parts {
  threshold(trial: Trial): number;
  residual(trial: Trial): Law;
  without(law: Law, token: number): Law;
  recover(owed: Law, position: number, noise: Noise, target: Law): number;
  coin(noise: Noise, position: number, token: number, threshold: number): boolean;
  row(input: VerifyInput, path: readonly number[]): Law;
}

const correct: Parts = {
  threshold: ({ owed, drawnFrom, token }) => massOf(owed, token) / massOf(drawnFrom, token),
  residual: ({ owed, drawnFrom }) =>
    normalised(map(owed, (prob, token) => Math.max(0, prob - massOf(drawnFrom, token)))),
  without: (law, token) => normalised(zeroed(law, token)),
  recover: (owed, position, noise) => noise.pick('recover', position, owed),
  coin: (noise, position, token, threshold) => noise.coin('accept', position, token, threshold),
  row: (input, path) => input.law((path.at(-1) ?? -1) + 1),
};

/** Rejection over chains and trees with replaced parts. */
export function rejectionOf(parts: Partial<Parts>, draw: Verifier['draw'] = rejection.draw) {
  const { threshold, residual, without, recover, coin, row } = { ...correct, ...parts };
  const verify = (input: VerifyInput) => {
    const path: number[] = [];
    return walk(input, (_target, position, children) => {
      const target = row(input, path);
      let owed = target;
      const left = new Map<Law, Law>();
      for (const node of children) {
        const { token, law } = input.draft.tokens[node];
        const trial = { owed, drawnFrom: left.get(law) ?? law, token };
        if (massOf(trial.drawnFrom, token) === 0) continue;
        if (coin(input.noise, position, token, threshold(trial))) {
          path.push(node);
          return { accepted: node };
        }
        owed = residual(trial);
        left.set(law, without(trial.drawnFrom, token));
      }
      return { next: recover(owed, position, input.noise, target) };
    });
  };
  const verifier: Verifier = { ...rejection, draw, verify };
  return verifier;
}

/** Draws the most probable tokens but states the law, as if they had been sampled. */
const argmaxStatedAsSampled: Verifier['draw'] = (law, _position, count) =>
  mostProbable(law, count).map((token) => lawDraw(token, law));

/** Drops a sampled token because of what it is. */
function dropBelow(least: number): Verifier['draw'] {
  return (law, position, count, noise) =>
    rejection.draw(law, position, count, noise).filter(({ token }) => massOf(law, token) >= least);
}

/** Name -> wrong verifier. */
export const mutants: Record<string, Verifier> = {
  'recovers from the target instead of the residual': rejectionOf({
    recover: (_owed, position, noise, target) => noise.pick('recover', position, target),
  }),
  'accepts with draft over target': rejectionOf({
    threshold: ({ owed, drawnFrom, token }) => massOf(drawnFrom, token) / massOf(owed, token),
  }),
  'accepts everything': rejectionOf({ threshold: () => 1 }),
  'accepts with the target probability alone': rejectionOf({
    threshold: ({ owed, token }) => massOf(owed, token),
  }),
  'is lenient by a factor of two': rejectionOf({
    threshold: ({ owed, drawnFrom, token }) => (2 * massOf(owed, token)) / massOf(drawnFrom, token),
  }),
  'does not normalise the residual between siblings': rejectionOf({
    residual: ({ owed, drawnFrom }) =>
      map(owed, (prob, token) => Math.max(0, prob - massOf(drawnFrom, token))),
    recover: (owed, position, noise, target) =>
      noise.pick('recover', position, hasMass(owed) ? owed : target),
  }),
  'does not normalise the draft law after a sibling': rejectionOf({ without: zeroed }),
  'judges siblings as drawn with replacement': rejectionOf({ without: (law) => law }),
  'judges every sibling against the whole target': rejectionOf({
    residual: ({ owed }) => owed,
  }),
  'takes only the rejected token out of the target': rejectionOf({
    residual: ({ owed, token }) => normalised(zeroed(owed, token)),
  }),
  'takes the residual the wrong way round': rejectionOf({
    residual: ({ owed, drawnFrom }) =>
      normalised(map(owed, (prob, token) => Math.max(0, massOf(drawnFrom, token) - prob))),
  }),
  'recovers with the coin of a rejection': rejectionOf({
    recover: (owed, position, noise) => noise.pick('accept', position, owed),
  }),
  'recovers with the noise of the draft': rejectionOf({
    recover: (owed, position, noise) => noise.race('draft', position, owed, 1)[0],
  }),
  'tosses every coin at the position of the first': rejectionOf({
    coin: (noise, _position, token, threshold) => noise.coin('accept', 1, token, threshold),
  }),
  'recovers at every position with one number that the rounds share': rejectionOf({
    recover: (owed, _position, noise) => noise.pick('shared', 1, owed),
  }),
  'judges every row by the first row': rejectionOf({ row: (input) => input.law(0) }),
  'judges by the row before': rejectionOf({
    row: (input, path) => input.law((path.at(-2) ?? -1) + 1),
  }),
  'states argmax drafts as sampled': rejectionOf({}, argmaxStatedAsSampled),
  'drops sampled tokens of low probability': rejectionOf({}, dropBelow(0.3)),
  'matches the argmax of a sampled target': {
    ...match,
    verify: (input) =>
      walk(input, (target, _position, children) =>
        acceptEqual('point' in target ? target.point : argmax(target.probs), input.draft, children),
      ),
  },
  'matches with one noise for all depths': {
    ...match,
    verify: (input) =>
      walk(input, (target, _position, children) => {
        const [token] = input.noise.race('shared', input.position, target, 1);
        return acceptEqual(token, input.draft, children);
      }),
  },
  'takes a draft that wins the race second': {
    ...match,
    verify: (input) =>
      walk(input, (target, position, children) => {
        const [first, second] = input.noise.race('shared', position, target, 2);
        const near = children.find((node) =>
          [first, second].includes(input.draft.tokens[node].token),
        );
        return near === undefined ? { next: first } : { accepted: near };
      }),
  },
};

function map(law: Law, change: (prob: number, token: number) => number): Law {
  return {
    probs: Float64Array.from([0, 1, 2, 3], (token) => change(massOf(law, token), token)),
  };
}

function zeroed(law: Law, zero: number): Law {
  return map(law, (prob, token) => (token === zero ? 0 : prob));
}

function hasMass(law: Law): boolean {
  return [0, 1, 2, 3].some((token) => massOf(law, token) > 0);
}

function normalised(law: Law): Law {
  const total = [0, 1, 2, 3].reduce((sum, token) => sum + massOf(law, token), 0);
  return total > 0 ? map(law, (prob) => prob / total) : law;
}
