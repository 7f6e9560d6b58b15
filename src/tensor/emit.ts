// What a checked op hands on, and the words that the checks share.
import type { DType, Extent, OpName, OpParams } from '../kernels/plan.ts';
import { type Shape, show } from './shape.ts';
import type { Tensor } from './tensor.ts';

/** Shape, dtype and extent of a result. */
export interface ResultSpec {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly extent?: Extent | undefined;
}

/** Where a checked kernel call goes. */
export type Emit = <Op extends OpName>(
  op: Op,
  inputs: readonly Tensor[],
  params: OpParams[Op],
  result: ResultSpec,
) => Tensor;

/** Dtypes and shapes, for messages. */
export const describe = (...tensors: readonly (Tensor | undefined)[]) =>
  tensors
    .filter((tensor) => tensor !== undefined)
    .map((tensor) => `${tensor.dtype} ${show(tensor.shape)}`)
    .join(', ');

const FLOATS: readonly DType[] = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0'];
/** Whether a dtype stands for real numbers. */
export const isFloat = (dtype: DType) => FLOATS.includes(dtype);
export const isIndex = (tensor: Tensor) => tensor.dtype === 'i32' && tensor.shape.length === 1;

/** Same shape and extent as `x`. */
export const like = (x: Tensor, dtype: DType = x.dtype): ResultSpec => ({
  shape: x.shape,
  dtype,
  extent: x.extent,
});
