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

/** Nothing drafted. */
const NO_TREE: TreeShape = { parents: [], value: 1 };

/**
 * The best trees of 0 .. `nodes` nodes; where so many do not fit in the levels, undefined. A subtree with n nodes below a node of level l is
 * worth T(n, l) = 1 + max over the ways to share n among the children in order of sum p(l, j) T(n_j - 1, l + 1). Time nodes^2 levels width.
 */
export function bestTrees(
  acceptance: RankAcceptance,
  { nodes, levels, width }: TreeLimits,
): readonly (TreeShape | undefined)[] {
  /** below[n]: of T(n, level + 1), from the deepest level up. */
  let below: Plan[] = [leaf, ...Array.from({ length: nodes }, () => impossible)];
  for (let level = levels - 1; level >= 0; level--) {
    // rest[n]: the best use of n nodes for the children of rank j and later.
    let rest: Plan[] = below.map((_, count) => (count === 0 ? nothing : impossible));
    for (let rank = width - 1; rank >= 0; rank--) {
      const chance = acceptance(level, rank);
      const [later, deeper] = [rest, below];
      rest = later.map((_, count) => {
        if (count === 0) return nothing;
        let best = impossible;
        for (let own = 1; own <= count; own++) {
          const value = chance * deeper[own - 1].value + later[count - own].value;
          if (value > best.value)
            best = { value, children: [deeper[own - 1], ...later[count - own].children] };
        }
        return best;
      });
    }
    below = rest.map(({ value, children }) => ({ value: 1 + value, children }));
  }
  return below.map((plan, count) => (count === 0 ? NO_TREE : shapeOf(plan)));
}

/** The tree with the most expected tokens per time, `cost(nodes, levels)`; nothing where plain steps have more. */
export function bestTree(
  acceptance: RankAcceptance,
  limits: TreeLimits,
  cost: (nodes: number, levels: number) => number,
): TreeShape {
  let best = NO_TREE;
  let rate = 1 / cost(0, 0);
  for (let levels = 1; levels <= limits.levels; levels++)
    for (const [nodes, shape] of bestTrees(acceptance, { ...limits, levels }).entries()) {
      if (shape === undefined || shape.value / cost(nodes, levels) <= rate) continue;
      best = shape;
      rate = shape.value / cost(nodes, levels);
    }
  return best;
}

/** Expected tokens of a subtree, or of some children, and the plans of the children. */
interface Plan {
  readonly value: number;
  readonly children: readonly Plan[];
}

const leaf: Plan = { value: 1, children: [] };
const nothing: Plan = { value: 0, children: [] };
const impossible: Plan = { value: Number.NEGATIVE_INFINITY, children: [] };

/** Level by level. */
function shapeOf({ value, children }: Plan): TreeShape | undefined {
  if (value === Number.NEGATIVE_INFINITY) return undefined;
  const parents: number[] = [];
  let level = children.map((plan) => ({ plan, parent: -1 }));
  while (level.length > 0) {
    const next: typeof level = [];
    for (const { plan, parent } of level) {
      const node = parents.length;
      parents.push(parent);
      for (const child of plan.children) next.push({ plan: child, parent: node });
    }
    level = next;
  }
  return { parents, value };
}
