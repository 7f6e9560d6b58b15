// Tensors [rows, columns] or [rows] cut and joined, whatever their type, without a change of a number.
import { FormatError } from '../../../kernels/errors.ts';
import type { TensorData } from '../../../tensor/safetensors.ts';

/** The bytes of a tensor. */
export const bytesOf = ({ data }: TensorData): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Tensors one after the other, as one of the given shape. */
export function concatenated(
  name: string,
  parts: readonly TensorData[],
  shape: readonly number[],
): TensorData {
  const data = new Uint8Array(parts.reduce((sum, each) => sum + each.data.byteLength, 0));
  let at = 0;
  for (const each of parts) {
    data.set(bytesOf(each), at);
    at += each.data.byteLength;
  }
  return { name, dtype: parts[0].dtype, shape, data };
}

/** The rows of all. */
export const rowsJoined = (name: string, parts: readonly TensorData[]): TensorData =>
  concatenated(name, parts, [
    parts.reduce((sum, { shape }) => sum + shape[0], 0),
    ...parts[0].shape.slice(1),
  ]);

/** So many rows for each name. Throws a FormatError where they are not all the rows. */
export function rowsSplit(
  { name, dtype, shape, ...tensor }: TensorData,
  names: readonly string[],
  counts: readonly number[],
): TensorData[] {
  const rows = counts.reduce((sum, count) => sum + count, 0);
  if (rows !== shape[0])
    throw new FormatError(`${name}: expected ${counts.join(' + ')} rows, got ${shape[0]}`);
  const bytes = bytesOf({ name, dtype, shape, ...tensor });
  const rowBytes = bytes.length / rows;
  let at = 0;
  return counts.map((count, index) => {
    const data = bytes.subarray(at * rowBytes, (at + count) * rowBytes);
    at += count;
    return { name: names[index], dtype, shape: [count, ...shape.slice(1)], data };
  });
}

/** The first columns of a matrix. */
export function columns(tensor: TensorData, count: number): TensorData {
  const [rows, width] = tensor.shape;
  if (count > width)
    throw new FormatError(`${tensor.name}: expected at least ${count} columns, got ${width}`);
  const bytes = bytesOf(tensor);
  const size = bytes.length / rows;
  const kept = (size / width) * count;
  const data = new Uint8Array(rows * kept);
  for (let row = 0; row < rows; row++)
    data.set(bytes.subarray(row * size, row * size + kept), row * kept);
  return { ...tensor, shape: [rows, count], data };
}
