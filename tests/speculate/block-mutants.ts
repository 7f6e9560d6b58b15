// Block verification of a chain as its paper writes it, with parts that can be replaced: a second implementation, and the wrong ones.
import type { Law } from '../../src/speculate/law.ts';
import type { Noise } from '../../src/speculate/noise.ts';
import { massOf } from '../../src/speculate/sample.ts';
import type { Verifier } from '../../src/speculate/verifier.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';

/** What is known after so many accepted tokens: w_i, and the laws p_i and q_i of the next one. */
interface Step {
  readonly weight: number;
  readonly target: Law;
  /** Absent after the last drafted token. */
  readonly draft: Law | undefined;
}

interface Parts {
  /** w_i from w_(i-1) and p / q. */
  weight(before: number, ratio: number): number;
  /** h_i. */
  threshold(step: Step): number;
  /** The number of accepted tokens from h_1 .. h_n. */
  length(thresholds: readonly number[], toss: (index: number) => boolean): number;
  residual(step: Step): Law;
  coin(noise: Noise, position: number, index: number, threshold: number): boolean;
}

const TOKENS = [0, 1, 2];

const rest = ({ weight, target, draft }: Step, token: number) =>
  Math.max(0, weight * massOf(target, token) - massOf(draft!, token));

const correct: Parts = {
  weight: (before, ratio) => Math.min(1, before * ratio),
  threshold(step) {
    if (step.draft === undefined) return step.weight;
    const mass = TOKENS.reduce((sum, token) => sum + rest(step, token), 0);
    return step.weight === 1 ? 1 : mass / (mass + 1 - step.weight);
  },
  length(thresholds, toss) {
    for (let index = thresholds.length; index > 0; index--) if (toss(index)) return index;
    return 0;
  },
  residual: (step) =>
    normalised(
      TOKENS.map((token) => rest(step, token)),
      step.target,
    ),
  coin: (noise, position, index, threshold) =>
    noise.coin('accept', position + index - 1, index, threshold),
};

/** Block verification with replaced parts. */
export function blockOf(parts: Partial<Parts>, draw: Verifier['draw'] = rejection.draw): Verifier {
  const { weight, threshold, length, residual, coin } = { ...correct, ...parts };
  return {
    name: 'block by the book',
    guarantee: 'same law',
    draw,
    verify({ draft: { tokens }, law, position, noise }) {
      const steps: Step[] = [];
      for (let index = 0; index <= tokens.length; index++) {
        const last = steps[index - 1];
        const { token } = tokens[index - 1] ?? {};
        const ratio = last && massOf(last.target, token!) / massOf(last.draft!, token!);
        steps.push({
          weight: last === undefined ? 1 : weight(last.weight, ratio!),
          target: law(index),
          draft: tokens[index]?.law,
        });
      }
      const thresholds = steps.slice(1).map(threshold);
      const toss = (index: number) => coin(noise, position, index, thresholds[index - 1]);
      const accepted = length(thresholds, toss);
      const all = accepted === tokens.length;
      const owed = all ? steps[accepted].target : residual(steps[accepted]);
      return {
        path: TOKENS.concat(3, 4).slice(0, accepted),
        next: noise.pick('recover', position + accepted, owed),
        kind: all ? 'bonus' : 'recovered',
      };
    },
  };
}

/** Name -> wrong block verifier. */
export const blockMutants: Record<string, Verifier> = {
  'stops at the first coin that says no': blockOf({
    length(thresholds, toss) {
      let index = 0;
      while (index < thresholds.length && toss(index + 1)) index += 1;
      return index;
    },
  }),
  'tosses the running weight instead of what the rest leaves of it': blockOf({
    threshold: ({ weight }) => weight,
  }),
  'owes the residual of the last token instead of the path': blockOf({
    residual: (step) => correct.residual({ ...step, weight: 1 }),
  }),
  'does not cap the running weight': blockOf({ weight: (before, ratio) => before * ratio }),
  'forgets the weight of the path before': blockOf({
    weight: (_before, ratio) => Math.min(1, ratio),
  }),
  'owes the target itself': blockOf({ residual: ({ target }) => target }),
  'tosses one coin for the whole path': blockOf({
    coin: (noise, position, _index, threshold) => noise.coin('accept', position, 0, threshold),
  }),
  'draws with noise that the rounds share': blockOf({}, (law, position, count, noise) => {
    const tokens = noise.race('shared', position, law, count);
    const drawn = rejection.draw(law, position, count, { ...noise, race: () => tokens });
    return drawn;
  }),
  'tosses coins that the rounds share': blockOf({
    coin: (noise, position, index, threshold) =>
      noise.coin('shared', position + index - 1, 0, threshold),
  }),
};

function normalised(row: readonly number[], otherwise: Law): Law {
  const total = row.reduce((sum, value) => sum + value, 0);
  return total > 0 ? { probs: Float64Array.from(row, (value) => value / total) } : otherwise;
}
