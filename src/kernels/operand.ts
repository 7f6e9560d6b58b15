// A tensor as a kernel on the host sees it: its array and its shape in this run. Types only.
import type { DType, OpName, OpParams, TypedArray } from './plan.ts';

export interface Operand {
  readonly dtype: DType;
  readonly data: TypedArray;
  /** With the rows in use, not the maximum. */
  readonly shape: readonly number[];
  /** Element i as a number, f16 and bf16 widened. */
  at(i: number): number;
  /** Stores a number as element i, rounded to the dtype. */
  put(i: number, value: number): void;
}

/** Computes `out` from `inputs`. Shapes have been checked. */
export type Kernel<Op extends OpName> = (
  out: Operand,
  inputs: readonly Operand[],
  params: OpParams[Op],
) => void;

/** A kernel for every op: a table that misses one does not compile. */
export type KernelTable = { readonly [Op in OpName]: Kernel<Op> };
