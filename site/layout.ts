// Where the nodes of a draft stand: a column per level, a line per leaf, parents in the middle of their children.
import { depthsOf } from '../src/models/tree.ts';

/** A node's place, in columns and lines. */
export interface Place {
  readonly column: number;
  readonly line: number;
}

/** Places of all nodes, and of the text they grow from (`root`); `parents[i] < i`, -1 is the text. */
export function layOut(parents: readonly number[]): {
  readonly root: Place;
  readonly places: readonly Place[];
  readonly columns: number;
  readonly lines: number;
} {
  const columns = depthsOf(parents);
  const lines = parents.map(() => 0);
  let next = 0;
  const settle = (node: number): number => {
    const children = parents.flatMap((parent, child) => (parent === node ? [settle(child)] : []));
    const line = children.length === 0 ? next++ : (children[0] + children.at(-1)!) / 2;
    if (node >= 0) lines[node] = line;
    return line;
  };
  const root = settle(-1);
  return {
    root: { column: 0, line: root },
    places: parents.map((_, node) => ({ column: columns[node], line: lines[node] })),
    columns: 1 + Math.max(0, ...columns),
    lines: Math.max(1, next),
  };
}
