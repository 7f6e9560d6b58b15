// Tensors [rows, columns] or [rows] cut and joined, whatever their type, without a change of a number.
import { FormatError } from '../../../kernels/errors.ts';
import { cutParts, partsBytes, type TensorParts } from '../../../tensor/parts.ts';

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

/** The first columns of a matrix. */
export function columns(tensor: TensorParts, count: number): TensorParts {
  const [rows, width] = tensor.shape;
  if (count > width)
    throw new FormatError(`${tensor.name}: expected at least ${count} columns, got ${width}`);
  const size = partsBytes(tensor) / rows;
  const kept = (size / width) * count;
  const parts = Array.from({ length: rows }, (_, row) =>
    cutParts(tensor, row * size, row * size + kept),
  );
  return { ...tensor, shape: [rows, count], parts: parts.flat() };
}
