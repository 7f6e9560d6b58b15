// Trees in the shape that is worth most: they follow what was accepted and what things cost.
import { describe, expect, it } from 'vitest';
import type { Ladder } from '../../src/models/model.ts';
import type { Draft } from '../../src/speculate/drafter.ts';
import { type BestShapes, createBestShapes } from '../../src/speculate/drafters/best.ts';
import { growChain, growTree, isChain, shapeOf } from '../../src/speculate/drafters/grow.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import type { Passes } from '../../src/speculate/drafters/passes.ts';
import { rankedDraws } from '../../src/speculate/drawn.ts';
import { generate } from '../../src/speculate/generate.ts';
import { request, tinyTarget } from './fixtures.ts';

const VOCAB = 8;

/** Rows cost this much more than a step, each. */
const ladderOf = (perRow: number): Ladder => ({
  add() {},
  ms: (rows) => 10 + perRow * (rows - 1),
  points: () => [],
});

/** A drafter that ranks the same tokens 0, 1, 2 … everywhere. */
const scores = Float64Array.from({ length: VOCAB }, (_, token) => -token);
const pass = { logits: Float32Array.from(scores), state: new Float32Array(0) };
const passesWith = (feed?: Passes['feed']): Passes => ({
  begin: async () => null,
  push: async () => pass,
  feed: feed ?? (async (nodes, { first }) => nodes.slice(first).map(() => pass)),
  dispose() {},
});

function draft(best: BestShapes, text: readonly number[], nodes = 15, levels = 5) {
  const asked = {
    ...request(text, nodes, levels),
    law: () => ({ point: 0, scores }),
    draw: (law: Parameters<typeof rankedDraws>[0], _at: number, count: number) =>
      rankedDraws(law, count),
  };
  return best.draft(asked, (shape, within, width) =>
    growTree(passesWith(), shape, within, pass, width),
  );
}

/** The last of many drafts of a text that always goes on with `token`. */
async function learnt(best: BestShapes, token: number, nodes?: number): Promise<Draft> {
  const text = [7];
  let last: Draft = { tokens: [] };
  for (let round = 0; round < 80; round++) {
    last = await draft(best, text, nodes);
    text.push(token, token);
  }
  return last;
}

describe('the best tree', () => {
  it('is a chain where the first rank always comes', async () => {
    const best = createBestShapes('test', { ladder: ladderOf(0.5) });
    const { tokens, parents } = await learnt(best, 0, 5);
    expect(tokens).toHaveLength(5);
    expect(isChain({ parents: parents! })).toBe(true);
  });

  it('has the ranks up to the one that comes', async () => {
    for (const rank of [1, 2]) {
      const best = createBestShapes('test', { ladder: ladderOf(0.2) });
      const { parents } = await learnt(best, rank, 3 * (rank + 1));
      const roots = parents!.filter((parent) => parent === -1);
      expect(roots).toHaveLength(rank + 1);
      // What comes next comes below the one that came.
      expect(parents).toContain(rank);
    }
  });

  it('has the nodes that were asked for, as far as there is room', async () => {
    for (const nodes of [1, 3, 9]) {
      const best = createBestShapes('test', { ladder: ladderOf(0) });
      expect((await learnt(best, 1, nodes)).tokens).toHaveLength(nodes);
    }
    const narrow = createBestShapes('test', { ladder: ladderOf(0), width: 1 });
    expect((await learnt(narrow, 0, 9)).tokens).toHaveLength(5);
  });

  it('would take few nodes where rows are expensive, many where they are free, and one a level at least', async () => {
    const countsOf = async (perRow: number) => {
      const best = createBestShapes('test', { ladder: ladderOf(perRow) });
      await learnt(best, 1);
      return [0, 1, 2, 3].map((levels) => best.shapeAt(levels).parents.length);
    };
    const dear = await countsOf(9);
    expect(dear).toEqual(
      [0, 2, 4, 6].map((most, levels) => Math.max(levels, Math.min(most, dear[levels]))),
    );
    const free = await countsOf(0);
    for (const levels of [1, 2, 3]) {
      expect(free[levels]).toBeGreaterThanOrEqual(dear[levels]);
      expect(free[levels]).toBeLessThanOrEqual(15);
    }
    expect(free[3]).toBeGreaterThan(dear[3]);
  });

  it('names wrong options', () => {
    const wrong: object = { ladder: ladderOf(1), width: 0, depth: 3 };
    expect(() => createBestShapes('draftModel', wrong as never)).toThrow(
      /draftModel: best: [\s\S]*depth[\s\S]*width/,
    );
    expect(() => createBestShapes('draftModel', {} as never)).toThrow('the ladder of the target');
  });
});

describe('growing', () => {
  const asked = {
    ...request([5], 9, 3),
    law: () => ({ point: 0, scores: scores.slice(0, 2) }),
    draw: (law: Parameters<typeof rankedDraws>[0], _at: number, count: number) =>
      rankedDraws(law, count),
  };

  it('leaves out what a law has too few tokens for, and what would be below it', async () => {
    const seen: (readonly number[])[] = [];
    const passes = passesWith(async (nodes, { first, depth }) => {
      seen.push([first, depth, ...nodes.map(({ parent }) => parent)]);
      return nodes.slice(first).map(() => pass);
    });
    const shape = { parents: [-1, -1, -1, 0, 2, 3] };
    const { tokens, parents, candidates } = await growTree(passes, shape, asked, pass, 2);
    expect(tokens.map(({ token }) => token)).toEqual([0, 1, 0, 0]);
    expect(parents).toEqual([-1, -1, 0, 2]);
    expect(candidates).toEqual([[0, 1], [0, 1], undefined, [0, 1], undefined]);
    expect(seen).toEqual([
      [0, 1, -1],
      [1, 2, -1, 0],
    ]);
  });

  it('takes shapes from children per level, within nodes and levels', () => {
    const of = (branching: number[], maxTokens: number, maxDepth: number) =>
      shapeOf(branching, { maxTokens, maxDepth }).parents;
    expect(of([3, 2], 99, 2)).toEqual([-1, -1, -1, 0, 0, 1, 1, 2, 2]);
    expect(of([3, 2], 5, 2)).toEqual([-1, -1, -1, 0, 0]);
    expect(of([2], 99, 3)).toEqual([-1, -1, 0, 1, 2, 3]);
    expect(of([2], 99, 0)).toEqual([]);
  });

  it('ranks along a chain, and ends where no token is left', async () => {
    const none = { ...asked, draw: () => [] };
    expect(await growChain(passesWith(), none, pass, { width: 2 })).toEqual({
      tokens: [],
      candidates: [[]],
    });
    const { tokens, candidates } = await growChain(passesWith(), asked, pass, { width: 2 });
    expect(tokens).toHaveLength(3);
    expect(candidates).toEqual([
      [0, 1],
      [0, 1],
      [0, 1],
    ]);
  });
});

describe('trees at temperature 0', () => {
  it('have the most probable tokens as siblings, with every verifier', async () => {
    const target = await tinyTarget('llama');
    const draftModelOf = await tinyTarget('llama-mha');
    const drafter = draftModel(draftModelOf.model, { branching: [3, 2] });
    let widest = 0;
    await generate(target, [1, 5, 9], {
      drafter,
      draftLength: 9,
      maxTokens: 12,
      ignoreEos: true,
      onRound({ draft: { tokens, parents = [] } }) {
        widest = Math.max(widest, parents.filter((parent) => parent === -1).length);
        const roots = tokens.filter((_, node) => parents[node] === -1).map(({ token }) => token);
        expect(new Set(roots).size).toBe(roots.length);
      },
    });
    expect(widest).toBe(3);
    drafter.dispose?.();
  });
});
