// Tensors [rows, columns] or [rows] cut and joined, whatever their type, without a change of a number.
import { FormatError } from '../../../kernels/errors.ts';
import {
  cutParts,
  type Part,
  partsBytes,
  readParts,
  type TensorParts,
} from '../../../tensor/parts.ts';

/** Tensors one after the other, as one of the given shape. */
export const concatenated = (
  name: string,
  tensors: readonly TensorParts[],
  shape: readonly number[],
): TensorParts => ({
  name,
  dtype: tensors[0].dtype,
  shape,
  parts: tensors.flatMap(({ parts }) => parts),
});

/** The rows of all. */
export const rowsJoined = (name: string, tensors: readonly TensorParts[]): TensorParts =>
  concatenated(name, tensors, [
    tensors.reduce((sum, { shape }) => sum + shape[0], 0),
    ...tensors[0].shape.slice(1),
  ]);

/** So many rows for each name. Throws a FormatError where they are not all the rows. */
export function rowsSplit(
  tensor: TensorParts,
  names: readonly string[],
  counts: readonly number[],
): TensorParts[] {
  const { name, dtype, shape } = tensor;
  const rows = counts.reduce((sum, count) => sum + count, 0);
  if (rows !== shape[0])
    throw new FormatError(`${name}: expected ${counts.join(' + ')} rows, got ${shape[0]}`);
  const rowBytes = partsBytes(tensor) / rows;
  let at = 0;
  return counts.map((count, index) => {
    const parts = cutParts(tensor, at * rowBytes, (at + count) * rowBytes);
    at += count;
    return { name: names[index], dtype, shape: [count, ...shape.slice(1)], parts };
  });
}

/** The first columns of a matrix: whole rows are read, since a part a row would be read one by one. */
export function columns(tensor: TensorParts, count: number): TensorParts {
  const [rows, width] = tensor.shape;
  if (count > width)
    throw new FormatError(`${tensor.name}: expected at least ${count} columns, got ${width}`);
  const size = partsBytes(tensor) / rows;
  const kept = (size / width) * count;
  // Throws for fractions of a byte.
  cutParts(tensor, size, size + kept);
  const readInto: Part['readInto'] = async (at, target) => {
    const end = at + target.length;
    const first = Math.floor(at / kept);
    const last = Math.ceil(end / kept);
    const whole = new Uint8Array((last - first) * size);
    await readParts(tensor, first * size, whole);
    for (let row = first; row < last; row++) {
      const from = Math.max(at, row * kept);
      const start = (row - first) * size + from - row * kept;
      const length = Math.min(end, (row + 1) * kept) - from;
      target.set(whole.subarray(start, start + length), from - at);
    }
  };
  return { ...tensor, shape: [rows, count], parts: [{ readInto, from: 0, to: rows * kept }] };
}
