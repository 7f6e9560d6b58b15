// The tree that is worth most: which nodes to draft, given how often the child of each rank is the accepted one, and what they cost.
// Chen et al., "Sequoia: scalable, robust, and hardware-aware speculative decoding", 2024: dynamic programming over the number of nodes.

/** How often, at a node of a level (0: the committed text), the child of a rank (0: the first) is the accepted one. */
export type RankAcceptance = (level: number, rank: number) => number;

/** A tree of nodes to draft, parents before children, level by level. */
export interface TreeShape {
  /** parents[i] < i is the node before node i, -1 the committed text; the children of a node have ranks in order. */
  readonly parents: readonly number[];
  /** Expected tokens of a round: 1 for the one that comes anyway, and the probability of every node. */
  readonly value: number;
}

/** What a search may look at. */
export interface TreeLimits {
  /** Nodes, without the committed text. */
  readonly nodes: number;
  readonly levels: number;
  /** Children of a node. */
  readonly width: number;
}

/**
 * The best trees of 0 .. `nodes` nodes; where so many do not fit in the levels, undefined. A subtree with n nodes below a node of level l is
 * worth T(n, l) = 1 + max over the ways to share n among the children in order of sum p(l, j) T(n_j - 1, l + 1). Time nodes^2 levels width.
 */
export function bestTrees(
  acceptance: RankAcceptance,
  { nodes, levels, width }: TreeLimits,
): readonly (TreeShape | undefined)[] {
  /** below[n]: of T(n, level + 1), from the deepest level up. */
  let below: Plan[] = [NO_CHILDREN, ...Array.from({ length: nodes }, () => IMPOSSIBLE)];
  for (let level = levels - 1; level >= 0; level--) {
    // rest[n]: the best use of n nodes for the children of rank j and later.
    let rest: Plan[] = below.map((_, count) => (count === 0 ? NO_CHILDREN : IMPOSSIBLE));
    for (let rank = width - 1; rank >= 0; rank--) {
      const chance = acceptance(level, rank);
      const [later, deeper] = [rest, below];
      rest = later.map((_, count) =>
        count === 0 ? NO_CHILDREN : share(count, chance, deeper, later),
      );
    }
    below = rest;
  }
  return below.map(shapeOf);
}

/**
 * The tree with the most expected tokens per time, `cost(nodes, levels)`, of `trees(levels)` as `bestTrees` gives them, with `least` (default 0)
 * to `nodes` nodes: with 0, nothing where plain steps have more.
 */
export function bestTree(
  trees: (levels: number) => readonly (TreeShape | undefined)[],
  { nodes: most, levels: deepest, least = 0 }: BudgetLimits,
  cost: (nodes: number, levels: number) => number,
): TreeShape {
  let best: TreeShape = { parents: [], value: 1 };
  let rate = least > 0 ? 0 : 1 / cost(0, 0);
  for (let levels = 1; levels <= deepest; levels++)
    for (const [nodes, shape] of trees(levels)
      .slice(0, 1 + most)
      .entries()) {
      if (shape === undefined || nodes < least) continue;
      const found = shape.value / cost(nodes, levels);
      if (found <= rate) continue;
      best = shape;
      rate = found;
    }
  return best;
}

/** What a tree may have. */
export interface BudgetLimits {
  readonly nodes: number;
  readonly levels: number;
  readonly least?: number;
}

/** Children of a node: what they are worth together, the first, and those after it. */
interface Plan {
  readonly value: number;
  readonly first: Plan | null;
  readonly later: Plan | null;
}

const NO_CHILDREN: Plan = { value: 0, first: null, later: null };
const IMPOSSIBLE: Plan = { value: Number.NEGATIVE_INFINITY, first: null, later: null };

/** The best use of `count` nodes, of which the first child and its subtree are some. */
function share(
  count: number,
  chance: number,
  deeper: readonly Plan[],
  later: readonly Plan[],
): Plan {
  let value = Number.NEGATIVE_INFINITY;
  let best = 0;
  for (let own = 1; own <= count; own++) {
    const found = chance * (1 + deeper[own - 1].value) + later[count - own].value;
    // What is impossible times nothing is no number.
    if (!(found > value)) continue;
    value = found;
    best = own;
  }
  return best === 0 ? IMPOSSIBLE : { value, first: deeper[best - 1], later: later[count - best] };
}

/** The shape is written down when somebody asks: of many trees one is taken. */
function shapeOf(plan: Plan): TreeShape | undefined {
  if (plan.value === Number.NEGATIVE_INFINITY) return undefined;
  let parents: readonly number[] | undefined;
  return {
    value: 1 + plan.value,
    get parents() {
      parents ??= parentsOf(plan);
      return parents;
    },
  };
}

/** Level by level. */
function parentsOf(plan: Plan): readonly number[] {
  const parents: number[] = [];
  let level: { readonly plan: Plan; readonly parent: number }[] = [{ plan, parent: -1 }];
  while (level.length > 0) {
    const next: typeof level = [];
    for (const { plan: children, parent } of level)
      for (let each: Plan | null = children; each?.first; each = each.later) {
        next.push({ plan: each.first, parent: parents.length });
        parents.push(parent);
      }
    level = next;
  }
  return parents;
}
