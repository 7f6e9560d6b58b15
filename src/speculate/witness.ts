// What happened in a round, for those who want to see it: the draft, the target's laws, every choice of chance, the verdict.
import type { Draft } from './drafter.ts';
import type { Law } from './law.ts';
import type { Noise, Purpose, SeededNoise } from './noise.ts';
import type { Verdict } from './verifier.ts';

/** A choice that chance has made, in the order in which it was asked for. */
export type ChanceChoice = { readonly purpose: Purpose; readonly position: number } & (
  | {
      readonly kind: 'coin';
      readonly token: number;
      /** At 1 and more it is no chance; the number was below the probability when it came up. */
      readonly probability: number;
      readonly number: number;
      readonly result: boolean;
    }
  | {
      readonly kind: 'pick';
      readonly law: Law;
      readonly number: number;
      readonly result: number;
    }
  | {
      readonly kind: 'race';
      readonly law: Law;
      readonly result: readonly number[];
    }
);

/** One round of a generation, after its verdict. */
export interface Round {
  /** 0 is the round that computes the prompt. */
  readonly index: number;
  /** Length of the text before it. */
  readonly position: number;
  readonly draft: Draft;
  readonly verdict: Verdict;
  /** The tokens that were emitted: an end or a limit may have cut the verdict short. */
  readonly emitted: readonly number[];
  /** The target's law after the text (row 0) and after node i (row 1 + i), as the verifier sees it. */
  law(row: number): Law;
  readonly choices: readonly ChanceChoice[];
  readonly draftMs: number;
  readonly targetMs: number;
}

/** The same noise, and `see` is told of every choice. */
export function witnessed(
  { race, coin, pick, uniform }: SeededNoise,
  see: (choice: ChanceChoice) => void,
): Noise {
  return {
    race(purpose, position, law, count) {
      const result = race(purpose, position, law, count);
      see({ kind: 'race', purpose, position, law, result });
      return result;
    },
    coin(purpose, position, token, probability) {
      const result = coin(purpose, position, token, probability);
      const number = uniform(purpose, position, token);
      see({ kind: 'coin', purpose, position, token, probability, number, result });
      return result;
    },
    pick(purpose, position, law) {
      const result = pick(purpose, position, law);
      see({ kind: 'pick', purpose, position, law, number: uniform(purpose, position, 0), result });
      return result;
    },
  };
}
