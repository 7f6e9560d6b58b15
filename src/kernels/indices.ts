// Indices are data, so no check of shapes sees them; out of range they would read or write something else without a word.
import { ShapeError } from './errors.ts';
import type { OpName, OpParams, TypedArray } from './plan.ts';

/** Which inputs of an op are indices. */
export const INDEX_INPUTS: { readonly [Op in OpName]?: readonly number[] } = {
  gather: [1],
  rope: [1],
  scatter: [2],
  attention: [3, 4, 5],
};

/** An input as the check sees it; only indices need their data. */
export interface IndexedInput {
  /** With the rows in use. */
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** Throws a ShapeError for a call with an index out of range; ops without indices pass. */
export function checkIndices<Op extends OpName>(
  op: Op,
  inputs: readonly IndexedInput[],
  params: OpParams[Op],
): void {
  if (op === 'gather') {
    const { axis } = params as OpParams['gather'];
    checkRange(op, inputs[1], inputs[0].shape[axis]);
  } else if (op === 'rope') checkRange(op, inputs[1], inputs[2].shape[0]);
  else if (op === 'scatter') checkRange(op, inputs[2], inputs[0].shape[0]);
  else if (op === 'attention') checkSight(inputs);
}

function checkRange(op: OpName, { data, shape }: IndexedInput, length: number): void {
  for (let n = 0; n < shape[0]; n++)
    if (data[n] < 0 || data[n] >= length)
      throw new ShapeError(`${op}: expected indices from 0 to ${length - 1}, got ${data[n]}`);
}

function checkSight([, keys, , visible, starts, counts]: readonly IndexedInput[]): void {
  const slots = keys.shape[0];
  const listed = visible.shape[0];
  for (let t = 0; t < starts.shape[0]; t++) {
    const from = starts.data[t];
    const count = counts.data[t];
    if (!(count >= 0 && count <= slots))
      throw new ShapeError(
        `attention: expected rows that see from 0 to ${slots} slots, got ${count}`,
      );
    if (!(from >= 0 && from + count <= listed))
      throw new ShapeError(
        `attention: expected lists within the ${listed} slots visible, got ${from} .. ${from + count}`,
      );
    for (let n = from; n < from + count; n++)
      if (visible.data[n] < 0 || visible.data[n] >= slots)
        throw new ShapeError(
          `attention: expected slots from 0 to ${slots - 1}, got ${visible.data[n]}`,
        );
  }
}
