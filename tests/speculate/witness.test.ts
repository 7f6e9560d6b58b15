// What `onRound` shows: everything a verdict was made of, and nothing changed by looking.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoadedModel } from '../../src/models/load.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { type GenerateResult, generate } from '../../src/speculate/generate.ts';
import type { GenerateOptions } from '../../src/speculate/options.ts';
import { massOf } from '../../src/speculate/sample.ts';
import { match } from '../../src/speculate/verifiers/match.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import type { Round } from '../../src/speculate/witness.ts';
import { demo } from './fixtures.ts';

let target: LoadedModel;
let draft: LoadedModel;
beforeAll(async () => {
  target = await demo('target');
  draft = await demo('draft');
});
afterAll(() => {
  target.dispose();
  draft.dispose();
});

async function watch(
  options: GenerateOptions,
  branching: readonly number[] = [1],
): Promise<{ readonly rounds: readonly Round[]; readonly result: GenerateResult }> {
  const rounds: Round[] = [];
  const drafter = draftModel(draft.model, { branching });
  const common = { drafter, draftLength: 4, maxTokens: 40, ignoreEos: true, seed: 5, ...options };
  const result = await generate(target, 'Once upon a time', {
    ...common,
    onRound: (round) => rounds.push(round),
  });
  const unseen = await generate(target, 'Once upon a time', common);
  expect(result.tokens).toEqual(unseen.tokens);
  drafter.dispose?.();
  return { rounds, result };
}

const coins = ({ choices }: Round) => choices.filter((choice) => choice.kind === 'coin');
const nodeAt = ({ draft: { tokens }, verdict: { path } }: Round) =>
  path.map((node) => tokens[node].token);

describe('onRound', () => {
  it('shows rounds whose tokens are the text', async () => {
    const { rounds, result } = await watch({ temperature: 0 });
    expect(rounds).toHaveLength(result.stats.targetForwards);
    expect(rounds.flatMap(({ emitted }) => emitted)).toEqual(result.tokens);
    expect(rounds.map(({ index }) => index)).toEqual(rounds.map((_, index) => index));
    let { position } = rounds[0];
    for (const round of rounds) {
      expect(round.position).toBe(position);
      position += round.emitted.length;
      // Greedy decoding leaves nothing to chance.
      expect(round.choices).toEqual([]);
    }
  });

  it('shows the coins of rejection: p over q, the number, and what followed from it', async () => {
    const { rounds } = await watch({ temperature: 1, verifier: rejection });
    const drafted = rounds.filter((round) => round.draft.tokens.length > 0);
    expect(drafted.flatMap(coins).length).toBeGreaterThan(10);
    for (const round of drafted) {
      const flips = coins(round);
      for (const { probability, number, result } of flips)
        expect(result).toBe(probability >= 1 || number < probability);
      // A chain is judged node by node until one is refused.
      const { path, kind, next } = round.verdict;
      expect(flips.filter(({ result }) => result)).toHaveLength(path.length);
      expect(flips.some(({ result }) => !result)).toBe(kind === 'recovered');
      for (const [depth, { token, probability }] of flips.entries()) {
        const { law, token: proposed } = round.draft.tokens[depth];
        expect(round.draftLaw(depth)).toBe(law);
        expect(token).toBe(proposed);
        const ratio = massOf(round.law(depth), token) / massOf(law, token);
        expect(probability).toBeCloseTo(ratio, 12);
      }
      const picks = round.choices.filter((choice) => choice.kind === 'pick');
      expect(picks.at(-1)).toMatchObject({ purpose: 'recover', result: next });
    }
  });

  it('shows the races of drafter and target on shared noise', async () => {
    const { rounds } = await watch({ temperature: 0.8, verifier: match }, [2, 1]);
    const drafted = rounds.filter((round) => round.draft.tokens.length > 0);
    expect(drafted.length).toBeGreaterThan(3);
    for (const round of drafted) {
      const races = round.choices.filter((choice) => choice.kind === 'race');
      expect(races).toHaveLength(round.choices.length);
      expect(races.every(({ purpose }) => purpose === 'shared')).toBe(true);
      for (const { law, result, number } of races) {
        const time = (token: number) => -Math.log(number(token)) / massOf(law, token);
        if ('point' in law) continue;
        const others = [...law.probs.keys()].filter((token) => !result.includes(token));
        expect(Math.min(...others.map(time))).toBeGreaterThan(time(result.at(-1)!));
      }
      // Stated as points, drawn from laws.
      for (const [node, { token, law }] of round.draft.tokens.entries()) {
        expect(law).toEqual({ point: token });
        const mass = massOf(round.draftLaw(node), token);
        expect(mass > 0 && mass < 1).toBe(true);
      }
      // The last races are the target's, one for each emitted token of the verdict.
      const tokens = [...nodeAt(round), round.verdict.next];
      expect(races.slice(-tokens.length).map(({ result }) => result[0])).toEqual(tokens);
      expect(races.slice(-tokens.length).map(({ position }) => position)).toEqual(
        tokens.map((_, depth) => round.position + depth),
      );
    }
  });

  it('has to be a function', async () => {
    const onRound = 'yes' as unknown as () => void;
    expect(() => generate(target, 'a', { onRound })).toThrow(/onRound/);
  });
});
