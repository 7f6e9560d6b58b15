// Randomness as a function of (seed, position, purpose), never of how much was drafted before. Verifiers see choices, not
// numbers: a seed decides them here, and `prove` follows every outcome of the same calls.
// What only decides within a round is a function of the round too, by where it begins: a verifier may have judged tokens that it
// then took back, and what they were judged by must not be used again for the tokens that come instead.
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
import { philox4x32 } from '../tensor/random.ts';
import type { Law } from './law.ts';
import { pick, race } from './sample.ts';

/** What a number is for; the third counter word. Streams of different purposes are independent. */
export const PURPOSES = { shared: 1, draft: 2, accept: 3, recover: 4 } as const;

/** The name of a stream of noise. */
export type Purpose = keyof typeof PURPOSES;

/** A number in (0, 1) for (purpose, position, token): addressed, not drawn, so asking twice gives it twice. */
export type Uniform = (purpose: Purpose, position: number, token: number) => number;

/** Every choice that chance may make. At one (purpose, position) either races, or coins and picks. */
export interface Noise {
  /**
   * Up to `count` different tokens in the order in which they win the race of `law`; the numbers used are those of
   * (purpose, position, token) for every token, so two races at one address share their noise.
   */
  race(purpose: Purpose, position: number, law: Law, count: number): readonly number[];
  /** True with `probability` (1 and more: always): the number of (purpose, position, token) is below it. */
  coin(purpose: Purpose, position: number, token: number, probability: number): boolean;
  /** A token drawn from `law` by inverse CDF with the number of (purpose, position, index); `index` is 0 by default. */
  pick(purpose: Purpose, position: number, law: Law, index?: number): number;
}

/** Noise that also shows its numbers, for those who want to see why. */
export interface SeededNoise extends Noise {
  readonly uniform: Uniform;
}

/** The noise of a text, which the rounds share out: each has the `shared` numbers, and others that are its own. */
export interface TextNoise<Each extends Noise = Noise> {
  /**
   * The noise of the round that begins at `position`, and in it of draft number `draw` among those for one position: siblings that
   * have different parents are drawn with different numbers.
   */
  round(position: number, draw?: number): Each;
}

/** Of the counter's word; the rest of it is the draw. */
const PURPOSE_BITS = 3;

/**
 * The noise of a seed, a whole number from 0 to 2^53 - 1: key (seed low, seed high), counter (position, token, purpose, 0) for
 * `shared` and (position, token, purpose + 8 draw, 1 + round) for the others; u = (word0 + 0.5) / 2^32.
 */
export function createNoise(seed: number): TextNoise<SeededNoise> {
  const low = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  const words = new Uint32Array(4);
  return {
    round(round, draw = 0) {
      const uniform: Uniform = (purpose, position, token) => {
        const number = PURPOSES[purpose];
        if (purpose === 'shared') philox4x32(words, position, token, number, 0, low, high);
        else {
          const stream = number + (draw << PURPOSE_BITS);
          philox4x32(words, position, token, stream, 1 + round, low, high);
        }
        return (words[0] + 0.5) / 2 ** 32;
      };
      return { ...noiseOf(uniform), uniform };
    },
  };
}

/** Choices made by numbers. */
export function noiseOf(uniform: Uniform): Noise {
  return {
    race: (purpose, position, law, count) =>
      race(law, (token) => uniform(purpose, position, token), count),
    coin: (purpose, position, token, probability) =>
      probability >= 1 || (probability > 0 && uniform(purpose, position, token) < probability),
    pick: (purpose, position, law, index = 0) =>
      'point' in law ? law.point : pick(law.probs, uniform(purpose, position, index)),
  };
}
