// A round, taken apart: what was drafted, then one step for each judgement, in the order in which the verifier made them.
import type { ChoiceData, RoundData, Runner } from '../src/browser/round.ts';

type Coin = Extract<ChoiceData, { readonly kind: 'coin' }>;
type Pick = Extract<ChoiceData, { readonly kind: 'pick' }>;
type Race = Extract<ChoiceData, { readonly kind: 'race' }>;

/** What becomes of a node by the time of a step. */
export type Fate = 'drafted' | 'accepted' | 'rejected';

/** One thing that happens in a round. */
export interface Step {
  readonly kind: 'draft' | 'judge' | 'next';
  /** Row of the laws to look at; the node it follows is `row - 1`. */
  readonly row: number;
  /** The node that is judged, where it is one. */
  readonly node: number | null;
  /** By node, after this step. */
  readonly fates: readonly Fate[];
  readonly coin?: Coin;
  readonly race?: Race;
  /** The choice of the last token, with the law it was drawn from. */
  readonly pick?: Pick;
}

/** The steps of a round: the draft, the judgements, the token after them. */
export function stepsOf(round: RoundData): readonly Step[] {
  const { nodes, path, choices } = round;
  const fates: Fate[] = nodes.map(() => 'drafted');
  const steps: Step[] = [];
  const add = (step: Omit<Step, 'fates'>) => steps.push({ ...step, fates: [...fates] });
  if (nodes.length > 0) add({ kind: 'draft', row: 0, node: null });

  const coins = choices.filter((choice) => choice.kind === 'coin');
  const picks = choices.filter((choice) => choice.kind === 'pick');
  // Drafters race first; the last races are the target's, one for each token of the verdict.
  const races = choices.filter((choice) => choice.kind === 'race').slice(-(path.length + 1));
  const childrenOf = (parent: number) =>
    nodes.flatMap((node, index) => (node.parent === parent ? [index] : []));

  let flips = 0;
  let parent = -1;
  for (const [depth, accepted] of [...path, null].entries()) {
    const race = races[depth];
    for (const node of childrenOf(parent)) {
      const coin = coins[flips]?.token === nodes[node].token ? coins[flips++] : undefined;
      fates[node] = node === accepted ? 'accepted' : 'rejected';
      add({ kind: 'judge', row: parent + 1, node, ...(coin && { coin }), ...(race && { race }) });
      if (node === accepted) break;
    }
    if (accepted !== null) parent = accepted;
  }
  const [race, pick] = [races[path.length], picks.at(-1)];
  add({
    kind: 'next',
    row: parent + 1,
    node: null,
    ...(race && { race }),
    ...(pick && { pick }),
  });
  return steps;
}

/** The numbers that decide the races of a position, by token: the same for drafter and target. */
export function numbersAt(round: RoundData, position: number): ReadonlyMap<number, number> {
  const races = round.choices.filter(
    (choice) => choice.kind === 'race' && choice.position === position,
  ) as readonly Race[];
  const runners = races.flatMap(({ candidates }): readonly Runner[] => candidates);
  return new Map(runners.map(({ token, number }) => [token, number]));
}

/** Levels from the text to the children of a row. */
export function depthOf({ nodes }: RoundData, row: number): number {
  let depth = 0;
  for (let node = row - 1; node >= 0; node = nodes[node].parent) depth += 1;
  return depth;
}
