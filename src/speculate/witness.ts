// What happened in a round, for those who want to see it: the draft, the laws of both models, every choice of chance, the verdict.
import type { Draft, Drawn } from './drafter.ts';
import type { Law } from './law.ts';
import type { Noise, Purpose, SeededNoise, TextNoise } from './noise.ts';
import type { Verdict, Verifier } from './verifier.ts';

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
      /** The number of a token: it arrives after -ln(number) / probability. */
      number(token: number): number;
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
  /** The drafter's law at node i, also where the token is stated as a point; the stated law of a token that was not drawn. */
  draftLaw(node: number): Law;
  readonly choices: readonly ChanceChoice[];
  readonly draftMs: number;
  readonly targetMs: number;
}

/** Sees what chance and drafter do in a round. */
export interface Witness {
  /** The same noise, watched. */
  readonly noise: TextNoise;
  /** The same verifier, watched when it draws. */
  readonly verifier: Verifier;
  /** What was seen since it was asked last. */
  report(draft: Draft): Pick<Round, 'choices' | 'draftLaw'>;
}

/** A witness of the choices that `verifier` makes with the noise of a seed. */
export function createWitness(seeded: TextNoise<SeededNoise>, verifier: Verifier): Witness {
  let choices: ChanceChoice[] = [];
  let laws = new Map<Drawn, Law>();
  const see = (choice: ChanceChoice) => choices.push(choice);
  return {
    noise: { round: (position, draw) => watched(seeded.round(position, draw), see) },
    verifier: {
      name: verifier.name,
      guarantee: verifier.guarantee,
      ...(verifier.atZeroOnly && { atZeroOnly: verifier.atZeroOnly }),
      verify: (input) => verifier.verify(input),
      draw(law, position, count, noise) {
        const drawn = verifier.draw(law, position, count, noise);
        for (const each of drawn) laws.set(each, law);
        return drawn;
      },
    },
    report({ tokens }) {
      const [seen, drawnFrom] = [choices, laws];
      choices = [];
      laws = new Map();
      return {
        choices: seen,
        draftLaw: (node) => drawnFrom.get(tokens[node]) ?? tokens[node].law,
      };
    },
  };
}

/** The same noise, and `see` is told of every choice. */
function watched(
  { race, coin, pick, uniform }: SeededNoise,
  see: (choice: ChanceChoice) => void,
): Noise {
  return {
    race(purpose, position, law, count) {
      const result = race(purpose, position, law, count);
      const number = (token: number) => uniform(purpose, position, token);
      see({ kind: 'race', purpose, position, law, result, number });
      return result;
    },
    coin(purpose, position, token, probability) {
      const result = coin(purpose, position, token, probability);
      const number = uniform(purpose, position, token);
      see({ kind: 'coin', purpose, position, token, probability, number, result });
      return result;
    },
    pick(purpose, position, law, index = 0) {
      const result = pick(purpose, position, law, index);
      const number = uniform(purpose, position, index);
      see({ kind: 'pick', purpose, position, law, number, result });
      return result;
    },
  };
}
