// Randomness as a function of (seed, position, purpose), never of how many draws came before.
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
import { philox4x32 } from '../tensor/random.ts';

/** What a number is for; the third counter word. Streams of different purposes are independent. */
export const PURPOSES = { shared: 1, draft: 2, accept: 3, recover: 4 } as const;
export type Purpose = keyof typeof PURPOSES;

/** Uniform numbers in (0, 1), addressed instead of drawn. */
export interface Noise {
  /** The number of (position, token, purpose); `token` is any index where the purpose needs no token. */
  uniform(purpose: Purpose, position: number, token: number): number;
}

/** The noise of a seed: counter (position, token, purpose, 0), key (seed low, seed high), u = (word0 + 0.5) / 2^32. */
export function createNoise(seed: number): Noise {
  const low = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  const words = new Uint32Array(4);
  return {
    uniform(purpose, position, token) {
      philox4x32(words, position, token, PURPOSES[purpose], 0, low, high);
      return (words[0] + 0.5) / 2 ** 32;
    },
  };
}
