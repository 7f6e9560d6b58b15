// What every verifier must do. A new one calls this with itself; a deviation is a `skip` entry with a reason.
import { describe, expect, it } from 'vitest';
import type { Draft, Drawn } from '../../src/speculate/drafter.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import type { Law } from '../../src/speculate/law.ts';
import { createNoise, type Noise } from '../../src/speculate/noise.ts';
import { type ProveOptions, prove } from '../../src/speculate/prove.ts';
import { point } from '../../src/speculate/sample.ts';
import type { Verifier } from '../../src/speculate/verifier.ts';
import { certain, chain } from './laws.ts';

const SHAPES = [[], [1], [1, 1], [1, 1, 1], [2], [3], [2, 1], [1, 2], [2, 2], [2, 1, 1]];
const SEEDS = Array.from({ length: 50 }, (_, seed) => seed);

/** Children that nobody sampled, a token repeated among them. */
const LOOKED_UP: Record<string, readonly number[]> = {
  'one point': [1],
  'two points': [2, 0],
  'every token': [1, 2, 0],
  'a point twice': [0, 0],
  'a point twice around another': [2, 1, 2],
};

/** Runs the suite; greedy verifiers are held to greedy targets, the others to any. */
export function verifierConformance(
  name: string,
  verifier: Verifier,
  { skip = {} }: { readonly skip?: Readonly<Record<string, string>> } = {},
): void {
  const greedyOnly = verifier.guarantee === 'bit-exact';
  const targets: Record<string, ProveOptions['target']> = {
    ...(!greedyOnly && { 'a sampled target': chain.target }),
    'a greedy target': certain(chain.target),
  };
  const test = (title: string, body: () => void) =>
    skip[title] === undefined ? it(title, body) : it.skip(`${title}: ${skip[title]}`, body);
  const target = Object.values(targets)[0];

  describe(`the ${name} verifier`, () => {
    test('returns a path of children and a token of the vocabulary', () => {
      for (const seed of SEEDS) {
        const noise = createNoise(seed).round(0);
        const draft = tree(verifier, noise);
        const { path, next } = verify(verifier, draft, target, noise);
        let parent = -1;
        for (const node of path) {
          expect(draft.parents?.[node], `seed ${seed}`).toBe(parent);
          parent = node;
        }
        expect([0, 1, 2], `seed ${seed}`).toContain(next);
      }
    });

    test('says bonus at a leaf and recovered where children were rejected', () => {
      for (const seed of SEEDS) {
        const noise = createNoise(seed).round(0);
        const draft = tree(verifier, noise);
        const { path, kind } = verify(verifier, draft, target, noise);
        const isLeaf = !draft.parents?.includes(path.at(-1) ?? -1);
        expect(kind, `seed ${seed}`).toBe(isLeaf ? 'bonus' : 'recovered');
      }
    });

    test('gives a bonus token for an empty draft', () => {
      const verdict = verify(verifier, { tokens: [] }, () => point(2), createNoise(0).round(0));
      expect(verdict).toEqual({ path: [], next: 2, kind: 'bonus' });
    });

    test('accepts all of a chain that the target is certain of, and adds a bonus', () => {
      const sure = (history: readonly number[]) => point(history.length % 3);
      const draft = { tokens: [1, 2, 0].map(pointDraw) };
      const verdict = verify(verifier, draft, sure, createNoise(0).round(0));
      expect(verdict).toEqual({ path: [0, 1, 2], next: 1, kind: 'bonus' });
    });

    test('gives the same verdict for the same input', () => {
      for (const seed of SEEDS) {
        const noise = createNoise(seed).round(0);
        const draft = tree(verifier, noise);
        const again = verify(verifier, draft, target, createNoise(seed).round(0));
        expect(verify(verifier, draft, target, noise), `seed ${seed}`).toEqual(again);
      }
    });

    test('asks for no law behind a rejected node', () => {
      const asked: number[] = [];
      const draft = { tokens: [0, 0, 0].map(pointDraw) };
      const law = (row: number) => {
        asked.push(row);
        return point(1);
      };
      verifier.verify({ draft, law, position: 1, noise: createNoise(0).round(0) });
      expect(asked).toEqual([0]);
    });

    test('draws different tokens of positive probability, as many as there are', () => {
      const law: Law = { probs: Float64Array.of(0.5, 0, 0.3, 0.2) };
      for (const seed of SEEDS) {
        const tokens = verifier
          .draw(law, 7, 4, createNoise(seed).round(0))
          .map(({ token }) => token);
        expect(tokens.toSorted(), `seed ${seed}`).toEqual([0, 2, 3]);
        expect(
          verifier.draw(law, 7, 2, createNoise(seed).round(0)).map(({ token }) => token),
        ).toEqual(tokens.slice(0, 2));
      }
      expect(
        verifier.draw(point(1), 7, 3, createNoise(0).round(0)).map(({ token }) => token),
      ).toEqual([1]);
    });

    test('refuses a parent that comes after its child', () => {
      const draft = { tokens: [0, 1].map(pointDraw), parents: [1, -1] };
      expect(() => verify(verifier, draft, target, createNoise(0).round(0))).toThrow(
        'verify: expected a parent from -1 to -1 for node 0, got 1',
      );
      expect(() =>
        verify(verifier, { ...draft, parents: [-1] }, target, createNoise(0).round(0)),
      ).toThrow('verify: expected a parent for each of 2 nodes, got 1');
    });

    for (const [kind, each] of Object.entries(targets)) {
      for (const branching of SHAPES)
        test(`emits exactly the law of ${kind} for a drawn [${branching}]`, () => {
          expect(prove({ ...chain, target: each, verifier, branching }).maxError).toBeLessThan(
            1e-12,
          );
        });
      for (const branching of [
        [1, 1],
        [2, 1],
      ])
        test(`emits exactly the law of ${kind} over three rounds of [${branching}]`, () => {
          const { maxError } = prove({ ...chain, target: each, verifier, branching, rounds: 3 });
          expect(maxError).toBeLessThan(1e-12);
        });
      for (const [title, tokens] of Object.entries(LOOKED_UP))
        test(`emits exactly the law of ${kind} for ${title} per node`, () => {
          const draft = (): readonly Drawn[] => tokens.map(pointDraw);
          const options = { ...chain, target: each, draft, verifier, branching: [1, 1] };
          expect(prove(options).maxError).toBeLessThan(1e-12);
        });
    }
  });
}

/** Two children, the first of which has two. */
function tree(verifier: Verifier, noise: Noise): Draft {
  const first = verifier.draw(chain.draft([0]), 1, 2, noise);
  const second = verifier.draw(chain.draft([0, first[0].token]), 2, 2, noise);
  return { tokens: [...first, ...second], parents: [-1, -1, 0, 0] };
}

function verify(verifier: Verifier, draft: Draft, target: ProveOptions['target'], noise: Noise) {
  const history = (node: number): number[] =>
    node < 0
      ? [0]
      : [
          ...history(draft.parents === undefined ? node - 1 : draft.parents[node]),
          draft.tokens[node].token,
        ];
  const law = (row: number) => target(history(row - 1));
  return verifier.verify({ draft, law, position: 1, noise });
}
