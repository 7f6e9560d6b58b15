// Noise with answers written down in advance, for worked examples.
import type { Law } from '../../src/speculate/law.ts';
import type { Noise } from '../../src/speculate/noise.ts';
import { massOf, pick } from '../../src/speculate/sample.ts';
import { rounded } from './laws.ts';

/** Noise that answers coins and picks from a list and notes the thresholds and the laws. */
export function scripted(coins: readonly number[], picked: number) {
  const thresholds: number[] = [];
  const picks: Law[] = [];
  const noise: Noise = {
    race: () => {
      throw new Error('expected no race, got one');
    },
    coin: (_purpose, _position, _token, probability) =>
      coins[thresholds.push(probability) - 1] < probability,
    pick: (_purpose, _position, law) => {
      picks.push(law);
      return 'point' in law ? law.point : pick(law.probs, picked);
    },
  };
  return { noise, thresholds, picks };
}

/** Probabilities of four tokens, six digits. */
export function rowOf(law: Law): number[] {
  return rounded(Array.from({ length: 4 }, (_, token) => massOf(law, token)));
}
