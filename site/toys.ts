// Models small enough to enumerate: laws that are a function of the whole text, made up by a seed.
import type { ProbsLaw } from '../src/speculate/law.ts';
import type { Verifier } from '../src/speculate/verifier.ts';
import { rejection } from '../src/speculate/verifiers/rejection.ts';
import { philox4x32 } from '../src/tensor/random.ts';

/** A law for every text, from a seed: exponentials made to add up to one are uniform over all laws. */
export function toyModel(
  seed: number,
  vocabulary: number,
): (history: readonly number[]) => ProbsLaw {
  const words = new Uint32Array(4);
  return (history) => {
    // The text as a number in base V + 1, so that no two texts share one; what is enumerated is short.
    const text = history.reduce((code, token) => code * (vocabulary + 1) + token + 1, 0);
    const probs = Float64Array.from({ length: vocabulary }, (_, token) => {
      philox4x32(words, text, token, vocabulary, 0, seed, 0);
      return -Math.log((words[0] + 0.5) / 2 ** 32);
    });
    return normalised(probs);
  };
}

/** A law for every text between two models: `share` of the first. */
export function blend(
  share: number,
  first: (history: readonly number[]) => ProbsLaw,
  second: (history: readonly number[]) => ProbsLaw,
): (history: readonly number[]) => ProbsLaw {
  return (history) => {
    const [a, b] = [first(history).probs, second(history).probs];
    return { probs: a.map((value, token) => share * value + (1 - share) * b[token]) };
  };
}

/**
 * Rejection with a mistake that is easily made: after a rejection the token comes from p itself instead of what p is still
 * owed, so what the draft proposes comes too often. Not lossless, and here only to show that the proof finds it.
 */
export const forgetful: Verifier = {
  ...rejection,
  name: 'forgetful',
  guarantee: 'lossy',
  verify(input) {
    const verdict = rejection.verify(input);
    if (verdict.kind !== 'recovered') return verdict;
    const last = verdict.path.at(-1) ?? -1;
    const position = input.position + verdict.path.length;
    return { ...verdict, next: input.noise.pick('recover', position, input.law(1 + last)) };
  },
};

function normalised(weights: Float64Array): ProbsLaw {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return { probs: weights.map((weight) => weight / total) };
}
