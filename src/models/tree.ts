// Trees of rows as lists of parents: parents[i] < i is the node before node i, -1 what they all grow from.

/** The nodes from the root down to `node`, itself included; none for -1. */
export function pathTo(node: number, parentOf: (node: number) => number): number[] {
  const path: number[] = [];
  for (let each = node; each >= 0; each = parentOf(each)) path.push(each);
  return path.reverse();
}

/** Levels of the nodes; 1 for children of the root. */
export function depthsOf(parents: readonly number[]): number[] {
  const depths: number[] = [];
  for (const parent of parents) depths.push(parent < 0 ? 1 : depths[parent] + 1);
  return depths;
}
