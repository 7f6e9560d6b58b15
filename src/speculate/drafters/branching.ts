// The shape of static trees: children of every node per level; levels beyond the list get one.
import { OptionError } from '../../kernels/errors.ts';

/** Throws an OptionError unless `branching` is a shape. */
export function checkBranching(where: string, branching: readonly number[]): void {
  if (branching.length === 0 || branching.some((count) => !Number.isInteger(count) || count < 1))
    throw new OptionError(
      `${where}: branching: expected whole numbers from 1, got [${branching.join(', ')}]`,
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
