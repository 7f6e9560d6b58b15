// The pieces of the playground that are plain functions: steps of a round, places of its nodes, ticks of an axis.
import { beforeAll, describe, expect, it } from 'vitest';
import { layOut } from '../../site/layout.ts';
import { depthOf, numbersAt, stepsOf } from '../../site/steps.ts';
import { ticks } from '../../site/ticks.ts';
import { packRound, type RoundData } from '../../src/browser/round.ts';
import type { LoadedModel } from '../../src/models/load.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { generate } from '../../src/speculate/generate.ts';
import type { GenerateOptions } from '../../src/speculate/options.ts';
import { greedy } from '../../src/speculate/verifiers/greedy.ts';
import { match } from '../../src/speculate/verifiers/match.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { demo } from '../speculate/fixtures.ts';

let target: LoadedModel;
let draft: LoadedModel;
beforeAll(async () => {
  target = await demo('target');
  draft = await demo('draft');
  return () => {
    target.dispose();
    draft.dispose();
  };
});

async function watch(options: GenerateOptions, branching: readonly number[]): Promise<RoundData[]> {
  const rounds: RoundData[] = [];
  const drafter = draftModel(draft.model, { branching });
  await generate(target, 'Once upon a time', {
    drafter,
    draftLength: 9,
    maxTokens: 40,
    ignoreEos: true,
    ...options,
    onRound: (round) => rounds.push(packRound(round, target.tokenizer, 4)),
  });
  drafter.dispose?.();
  return rounds;
}

const RUNS = [
  { name: 'greedy', options: { temperature: 0, verifier: greedy } },
  { name: 'match', options: { temperature: 0.8, verifier: match } },
  { name: 'rejection', options: { temperature: 1, verifier: rejection } },
];

describe('the steps of a round', () => {
  for (const { name, options } of RUNS)
    for (const branching of [[1], [3, 2, 1]])
      it(`end in the verdict of ${name} over [${branching}], and judge each node once`, async () => {
        const rounds = await watch(options, branching);
        expect(rounds.length).toBeGreaterThan(4);
        for (const round of rounds) {
          const steps = stepsOf(round);
          const last = steps.at(-1)!;
          expect(last.kind).toBe('next');
          expect(last.row).toBe(1 + (round.path.at(-1) ?? -1));
          expect(last.fates.flatMap((fate, node) => (fate === 'accepted' ? [node] : []))).toEqual(
            round.path,
          );
          const judged = steps.flatMap(({ node }) => (node === null ? [] : [node]));
          expect(new Set(judged).size).toBe(judged.length);
          for (const [index, { kind, node, row, fates }] of steps.entries()) {
            if (kind !== 'judge') continue;
            expect(round.nodes[node!].parent).toBe(row - 1);
            // A fate comes with its step and stays.
            expect(steps[index - 1].fates[node!]).toBe('drafted');
            for (const later of steps.slice(index)) expect(later.fates[node!]).toBe(fates[node!]);
          }
          const rejected = last.fates.filter((fate) => fate === 'rejected').length;
          if (round.nodes.length > 0) expect(round.kind === 'recovered').toBe(lastRejected(round));
          expect(judged).toHaveLength(rejected + round.path.length);
        }
      });

  it('have the coin of their node, the race of their place, and the pick of the last token', async () => {
    for (const round of await watch({ temperature: 1, verifier: rejection }, [2, 1])) {
      for (const { kind, node, coin, pick, fates } of stepsOf(round)) {
        if (kind === 'judge') {
          expect(coin!.token).toBe(round.nodes[node!].token);
          expect(coin!.result).toBe(fates[node!] === 'accepted');
        }
        if (kind === 'next') expect(pick!.result).toBe(round.next.token);
      }
    }
    for (const round of await watch({ temperature: 0.8, verifier: match }, [2, 1]))
      for (const { kind, row, race, node, fates } of stepsOf(round)) {
        if (kind === 'draft') continue;
        expect(race!.position).toBe(round.position + depthOf(round, row));
        const numbers = numbersAt(round, race!.position);
        expect(round.rows[row].every(({ token, p }) => p === 0 || numbers.has(token))).toBe(true);
        const winner = race!.result[0];
        if (kind === 'next') expect(winner).toBe(round.next.token);
        else expect(round.nodes[node!].token === winner).toBe(fates[node!] === 'accepted');
      }
  });
});

/** Something was drafted where the verdict ended. */
function lastRejected({ nodes, path }: RoundData): boolean {
  const last = path.at(-1) ?? -1;
  return nodes.some(({ parent }) => parent === last);
}

describe('the places of nodes', () => {
  it('are a line for a chain', () => {
    const { places, columns, lines } = layOut([-1, 0, 1]);
    expect(places).toEqual([1, 2, 3].map((column) => ({ column, line: 0 })));
    expect([columns, lines]).toEqual([4, 1]);
  });

  it('put parents in the middle of their children and no two nodes into one place', () => {
    const parents = [-1, -1, 0, 0, 1, 3];
    const { root, places, columns, lines } = layOut(parents);
    expect([columns, lines]).toEqual([4, 3]);
    expect(places[0].line).toBe((places[2].line + places[3].line) / 2);
    expect(root.line).toBe((places[0].line + places[1].line) / 2);
    expect(new Set(places.map(({ column, line }) => `${column} ${line}`)).size).toBe(6);
  });

  it('are one for nothing drafted', () => {
    expect(layOut([])).toEqual({ root: { column: 0, line: 0 }, places: [], columns: 1, lines: 1 });
  });
});

describe('the ticks of an axis', () => {
  it('are few round numbers from zero up to the end', () => {
    expect(ticks(96, 4)).toEqual([0, 50]);
    expect(ticks(6.4, 4)).toEqual([0, 2, 4, 6]);
    expect(ticks(0.35, 5)).toEqual([0, 0.1, 0.2, 0.3]);
    expect(ticks(1000, 5)).toEqual([0, 200, 400, 600, 800, 1000]);
  });
});
