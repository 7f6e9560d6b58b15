// Shapes of trees. Static ones: children of every node per level; levels beyond the list get one.
import { OptionError } from '../../kernels/errors.ts';

/** Throws an OptionError unless `branching` is a shape. */
export function checkBranching(
  where: string,
  branching: readonly number[],
  name = 'branching',
): void {
  if (branching.length === 0 || branching.some((count) => !Number.isInteger(count) || count < 1))
    throw new OptionError(
      `${where}: ${name}: expected whole numbers from 1, got [${branching.join(', ')}]`,
    );
}

/** Nodes of a full tree of so many levels. */
export function nodesOf(branching: readonly number[], levels: number): number {
  let nodes = 0;
  let width = 1;
  for (let depth = 0; depth < levels; depth++) {
    width *= branching[depth] ?? 1;
    nodes += width;
  }
  return nodes;
}

/** The tree of the most probable whole paths (Wertheimer et al., 2024). */
export interface PathTree {
  /** Children that are looked at per node, level by level; all of them are followed. */
  readonly expansion: readonly number[];
  /** Paths that are kept. */
  readonly kept: number;
}

/** Throws an OptionError unless `tree` is a shape. */
export function checkPaths(where: string, { expansion, kept }: PathTree): void {
  checkBranching(where, expansion, 'paths.expansion');
  if (!Number.isInteger(kept) || kept < 1)
    throw new OptionError(`${where}: paths.kept: expected a whole number from 1, got ${kept}`);
}

/** Nodes of a full tree of so many levels. */
export function pathNodesAt({ expansion, kept }: PathTree, levels: number): number {
  const deep = Math.min(levels, expansion.length);
  return Math.min(nodesOf(expansion, deep), kept * deep);
}
