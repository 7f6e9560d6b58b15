// Sizes, axes and broadcasting of row-major shapes. Pure functions; errors are ShapeErrors that show the shapes.
import { ShapeError } from '../kernels/errors.ts';

export { sizeOf } from '../kernels/size.ts';

export type Shape = readonly number[];

/** `[2, 3]`, for messages. */
export function show(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

/** Throws a ShapeError `<where>: expected <expected>, got <shape>` unless `holds`. */
export function check(holds: boolean, where: string, expected: string, got: string): asserts holds {
  if (!holds) throw new ShapeError(`${where}: expected ${expected}, got ${got}`);
}

/** An axis in 0 .. rank - 1; negative axes count from the end. */
export function resolveAxis(where: string, axis: number, rank: number): number {
  const resolved = axis < 0 ? axis + rank : axis;
  check(
    Number.isInteger(axis) && resolved >= 0 && resolved < rank,
    where,
    `an axis from ${-rank} to ${rank - 1}`,
    String(axis),
  );
  return resolved;
}

/** The numpy broadcast of two shapes: aligned at the end, 1 stretches. */
export function broadcastShape(where: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const out = new Array<number>(rank);
  for (let axis = 0; axis < rank; axis++) {
    const left = a[a.length - rank + axis] ?? 1;
    const right = b[b.length - rank + axis] ?? 1;
    check(
      left === right || left === 1 || right === 1,
      where,
      'shapes that broadcast',
      `${show(a)} and ${show(b)}`,
    );
    out[axis] = left === 1 ? right : left;
  }
  return out;
}
