// The best tree against the worked examples, and against every tree there is.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { depthsOf } from '../../src/models/tree.ts';
import { bestTree, bestTrees, type TreeShape } from '../../src/speculate/best-tree.ts';
import { vectors } from './laws.ts';

const { H } = vectors;

const ofRank = (row: readonly number[]) => (_level: number, rank: number) => row[rank];

/** Children of children, as the worked examples write shapes. */
type Nested = readonly Nested[];

function nested({ parents }: TreeShape, node = -1): Nested {
  const children = parents.flatMap((parent, child) => (parent === node ? [child] : []));
  return children.map((child) => nested({ parents, value: 0 }, child));
}

/** Expected tokens, node by node. */
function worthOf(
  parents: readonly number[],
  acceptance: (level: number, rank: number) => number,
): number {
  const depths = depthsOf(parents);
  const masses: number[] = [];
  let value = 1;
  for (const [node, parent] of parents.entries()) {
    const rank = parents.slice(0, node).filter((each) => each === parent).length;
    masses.push((parent < 0 ? 1 : masses[parent]) * acceptance(depths[node] - 1, rank));
    value += masses[node];
  }
  return value;
}

/** Every list of parents with this many nodes: each attached to any node before it. */
function* everyTree(nodes: number, parents: readonly number[] = []): Generator<readonly number[]> {
  if (parents.length === nodes) {
    yield parents;
    return;
  }
  for (let parent = parents.at(-1) ?? -1; parent < parents.length; parent++)
    yield* everyTree(nodes, [...parents, parent]);
}

describe('the best trees', () => {
  it('have the values and shapes of vector H', () => {
    const { positional_acceptance, by_total_nodes } = H.monotone;
    const limits = { nodes: 9, levels: 9, width: 3 };
    const trees = bestTrees(ofRank(positional_acceptance), limits);
    for (const [total, { best_value, shape }] of Object.entries(by_total_nodes)) {
      const tree = trees[Number(total) - 1]!;
      expect(tree.value).toBeCloseTo(best_value, 6);
      expect(nested(tree)).toEqual(shape);
    }
  });

  it('keep to the levels, and are none where so many nodes do not fit', () => {
    const acceptance = ofRank(H.monotone.positional_acceptance);
    for (const [key, value] of Object.entries(H.depth_limited)) {
      const [, total, levels] = /^N(\d+)_D(\d+)$/.exec(key)!.map(Number);
      const tree = bestTrees(acceptance, { nodes: total - 1, levels, width: 3 })[total - 1];
      if (value === null) expect(tree).toBeUndefined();
      else expect(tree!.value).toBeCloseTo(value, 6);
    }
  });

  it('are found where a later sibling is the likelier one', () => {
    const { positional_acceptance, by_total_nodes } = H.non_monotone;
    const limits = { nodes: 6, levels: 6, width: 3 };
    const trees = bestTrees(ofRank(positional_acceptance), limits);
    for (const [total, { dp }] of Object.entries(by_total_nodes))
      expect(trees[Number(total) - 1]!.value).toBeCloseTo(dp, 6);
  });

  it('are worth what their nodes are, and no other tree is worth more', () => {
    const rows = fc.array(
      fc.array(fc.double({ min: 0, max: 0.6, noNaN: true }), { minLength: 3, maxLength: 3 }),
      {
        minLength: 4,
        maxLength: 4,
      },
    );
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 4 }), (table, levels) => {
        const acceptance = (level: number, rank: number) => table[level][rank] ?? 0;
        const trees = bestTrees(acceptance, { nodes: 5, levels, width: 3 });
        for (const [nodes, tree] of trees.entries()) {
          const values = [...everyTree(nodes)]
            .filter((parents) => Math.max(0, ...depthsOf(parents)) <= levels)
            .filter((parents) =>
              parents.every((parent) => parents.filter((each) => each === parent).length <= 3),
            )
            .map((parents) => worthOf(parents, acceptance));
          if (values.length === 0) expect(tree).toBeUndefined();
          else {
            expect(tree!.value).toBeCloseTo(Math.max(...values), 9);
            expect(worthOf(tree!.parents, acceptance)).toBeCloseTo(tree!.value, 9);
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('the best tree for a cost', () => {
  const treesOf = (row: readonly number[]) => (levels: number) =>
    bestTrees(ofRank(row), { nodes: 63, levels, width: row.length });

  it('is that of vector H', () => {
    const { draft_step_cost, verify_cost, best_N, best_D, best_value, best_speedup } =
      H.budget_choice;
    const measured: Readonly<Record<string, number>> = verify_cost;
    const cost = (nodes: number, levels: number) =>
      levels * draft_step_cost + (measured[nodes + 1] ?? Number.POSITIVE_INFINITY);
    const limits = { nodes: 63, levels: 10 };
    const tree = bestTree(treesOf(H.monotone.positional_acceptance), limits, cost);
    expect(tree.parents.length + 1).toBe(best_N);
    expect(Math.max(...depthsOf(tree.parents))).toBe(best_D);
    expect(tree.value).toBeCloseTo(best_value, 6);
    expect(tree.value / cost(best_N - 1, best_D)).toBeCloseTo(best_speedup, 6);
  });

  it('is nothing where rows cost as much as steps', () => {
    const cost = (nodes: number, levels: number) => 1 + nodes + 0.1 * levels;
    const tree = bestTree(treesOf([0.6, 0.2]), { nodes: 10, levels: 5 }, cost);
    expect(tree).toEqual({ parents: [], value: 1 });
  });
});
