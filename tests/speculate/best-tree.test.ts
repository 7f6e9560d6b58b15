// The best tree against the worked examples, and against every tree there is.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { depthsOf } from '../../src/models/tree.ts';
import { bestTree, bestTrees, type TreeShape } from '../../src/speculate/best-tree.ts';
import { rounded, vectors } from './laws.ts';

const { AB, H, M, N, Y } = vectors;

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

/** What a tree is worth that always grew by the likeliest node, whose turn comes when its parent and the sibling before it have had theirs. */
function bestFirst(row: readonly number[], nodes: number): number {
  let value = 1;
  const waiting = [{ mass: row[0], parent: 1, rank: 0 }];
  for (let taken = 0; taken < nodes; taken++) {
    waiting.sort((a, b) => a.mass - b.mass);
    const { mass, parent, rank } = waiting.pop()!;
    value += mass;
    waiting.push({ mass: mass * row[0], parent: mass, rank: 0 });
    if (rank + 1 < row.length)
      waiting.push({ mass: parent * row[rank + 1], parent, rank: rank + 1 });
  }
  return value;
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
    for (const [total, { dp, best_first_heap: greedy }] of Object.entries(by_total_nodes)) {
      expect(trees[Number(total) - 1]!.value).toBeCloseTo(dp, 6);
      // The likeliest next node each time does not see what comes after it.
      expect(bestFirst(positional_acceptance, Number(total) - 1)).toBeCloseTo(greedy, 6);
    }
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

/** A chain whose token of a level is accepted so often, if those before it were. */
const chainOf = (conditional: readonly number[]) => (levels: number) =>
  bestTrees((level) => conditional[level] ?? 0, { nodes: levels, levels, width: 1 });

describe('the best chain', () => {
  it('is as long, and gains as much, as the cost model of vector N says', () => {
    for (const [key, byAcceptance] of Object.entries(N.optimal_gamma)) {
      const [rowCost, levelCost] = /^s=([\d.]+),c=([\d.]+)$/.exec(key)!.slice(1).map(Number);
      const cost = (nodes: number, levels: number) => 1 + rowCost * nodes + levelCost * levels;
      for (const [rate, [length, gain]] of Object.entries(byAcceptance)) {
        const trees = chainOf(Array(32).fill(Number(rate)));
        const { parents, value } = bestTree(trees, { nodes: 32, levels: 32 }, cost);
        const found = value / cost(parents.length, parents.length);
        expect(found, `${key}, ${rate}`).toBeCloseTo(gain, 6);
        expect(parents.length, `${key}, ${rate}`).toBe(length);
        // The first token pays if it is accepted more often than it costs; where both are equal, nothing is drafted.
        expect(length > 0).toBe(Number(rate) > rowCost + levelCost + 1e-12);
      }
    }
  });

  it('is worth the tokens of vector N', () => {
    for (const [rate, byLength] of Object.entries(N.E_tokens))
      for (const [length, tokens] of Object.entries(byLength)) {
        const nodes = Number(length);
        expect(chainOf(Array(nodes).fill(Number(rate)))(nodes)[nodes]!.value).toBeCloseTo(
          tokens,
          6,
        );
      }
  });

  it('stops before a step of the staircase that more tokens do not climb', () => {
    const { verify_cost, draft_cost_per_token, survival, rows, best_gamma } = N.staircase;
    const verify: Readonly<Record<string, number>> = verify_cost;
    const cost = (nodes: number, levels: number) =>
      draft_cost_per_token * levels + verify[nodes + 1];
    const conditional = survival.map((each, level) => each / (survival[level - 1] ?? 1));
    for (const { gamma, E_tokens, speedup } of rows) {
      const { value } = chainOf(conditional)(Math.max(1, gamma))[gamma]!;
      expect(value).toBeCloseTo(E_tokens, 9);
      expect(value / cost(gamma, gamma)).toBeCloseTo(speedup, 6);
    }
    const best = bestTree(chainOf(conditional), { nodes: 7, levels: 7 }, cost);
    expect(best.parents.length).toBe(best_gamma);
  });

  it('follows running acceptance as in vector Y', () => {
    const verify: Readonly<Record<string, number>> = N.staircase.verify_cost;
    const cost = (nodes: number, levels: number) => 0.05 * levels + verify[nodes + 1];
    const running = [...Y.init];
    for (const { drafted, accepted, conditional, survival, best_gamma, speedups } of Y.trace) {
      // Levels up to the first wrong token have been tried.
      for (let level = 0; level < Math.min(drafted, accepted + 1); level++)
        running[level] += Y.eta * (Number(level < accepted) - running[level]);
      expect(rounded(running)).toEqual(conditional);
      const trees = chainOf(conditional);
      for (const [length, speedup] of speedups.entries()) {
        const { value } = trees(Math.max(1, length))[length]!;
        const expected = survival.slice(0, length).reduce((sum, each) => sum + each, 1);
        expect(value).toBeCloseTo(expected, 5);
        expect(value / cost(length, length)).toBeCloseTo(speedup, 6);
      }
      const { parents } = bestTree(trees, { nodes: 4, levels: 4 }, cost);
      expect(parents.length).toBe(best_gamma);
    }
  });

  it('is shared out between texts of one forward as in vector Y', () => {
    const { confidences, trace, admitted_prefix_lengths } = Y.batch_prefix_scheduler;
    const [one, other] = confidences.map((each) =>
      chainOf(each)(3).map((chain) => (chain === undefined ? Number.NaN : chain.value)),
    );
    const worth = (lengths: readonly number[]) => {
      const tokens = one[lengths[0]] + other[lengths[1]];
      const rows = 2 + lengths[0] + lengths[1];
      return { rows, tau: tokens, theta: tokens / (1 + 0.12 * (rows - 2)) };
    };
    const lengths = [0, 0];
    for (const { candidate, admit = true, ...step } of trace) {
      const tried = [...lengths];
      if (candidate) tried[candidate[0]] = candidate[1];
      const { rows, tau, theta } = worth(tried);
      expect(rows).toBe(step.rows);
      expect(tau).toBeCloseTo(step.tau, 9);
      expect(theta).toBeCloseTo(step.theta, 6);
      if (admit) lengths.splice(0, 2, ...tried);
    }
    expect(lengths).toEqual(admitted_prefix_lengths);
    const all = [0, 1, 2, 3].flatMap((a) => [0, 1, 2, 3].map((b) => [a, b]));
    const best = all.toSorted((a, b) => worth(b).theta - worth(a).theta)[0];
    expect(best).toEqual(admitted_prefix_lengths);
  });

  it('emits the tokens of vector AB', () => {
    expect(chainOf(AB.conditional)(3)[3]!.value).toBeCloseTo(AB.mean_tokens, 12);
    const added = AB.unconditional.reduce((sum, each) => sum + each, 1);
    expect(added).toBeCloseTo(AB.mean_tokens, 12);
  });

  it('is worth what vector M says of a prefix, with and without hope for its next token', () => {
    const { SPS, a1, theta } = M.prefix_worth;
    const speed: Readonly<Record<string, number>> = SPS;
    const worth = (conditional: readonly number[], length: number) =>
      chainOf(conditional)(Math.max(1, length))[length]!.value * speed[length + 1];
    expect(worth([a1], 0)).toBeCloseTo(theta['0'], 9);
    expect(worth([a1], 1)).toBeCloseTo(theta['1'], 9);
    expect(worth([a1, 0.9], 2)).toBeCloseTo(theta['2_if_c2_0.9'], 9);
    expect(worth([a1, 0], 2)).toBeCloseTo(theta['2_if_c2_0'], 9);
  });
});
