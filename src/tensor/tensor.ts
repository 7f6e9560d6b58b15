// A tensor is a value of a plan with the backend that holds it. Contiguous and row-major; a view of rows shares storage.
import type { Backend } from '../kernels/backend.ts';
import type { DType, Extent, TypedArray, Value } from '../kernels/plan.ts';
import { check, type Shape, show, sizeOf } from './shape.ts';

/** One tensor: data in a backend, or the promise of data in a plan that is being recorded. */
export class Tensor {
  readonly value: Value;
  /** Null while recording: there is nothing to read yet. */
  readonly #backend: Backend | null;

  constructor(value: Value, backend: Backend | null) {
    this.value = value;
    this.#backend = backend;
  }

  get shape(): Shape {
    return this.value.shape;
  }

  get dtype(): DType {
    return this.value.dtype;
  }

  /** Which run-time row count bounds the leading dimension, if any. */
  get extent(): Extent | undefined {
    return this.value.extent;
  }

  /** Elements, of the largest extent. */
  get size(): number {
    return sizeOf(this.value.shape);
  }

  /** Rows [from, to) of the leading dimension, without a copy. Only for tensors that hold data. */
  rows(from: number, to: number): Tensor {
    const [rows = 0, ...rest] = this.shape;
    check(
      this.shape.length > 0 && from >= 0 && from <= to && to <= rows,
      'rows',
      `0 <= from <= to <= ${rows}`,
      `${from} .. ${to}`,
    );
    return this.#view([to - from, ...rest], from * sizeOf(rest));
  }

  /** The same elements under another shape of equal size, without a copy. Only for tensors that hold data. */
  reshape(shape: Shape): Tensor {
    check(sizeOf(shape) === this.size, 'reshape', `a shape of ${this.size} elements`, show(shape));
    return this.#view(shape, 0);
  }

  /** A copy of the elements in the host array of the dtype (f16 and bf16 as bit patterns). */
  async read(): Promise<TypedArray> {
    const value = this.value;
    if (this.#backend === null || !('buffer' in value))
      throw new Error(
        'read: expected a tensor with data, got one of a plan that is being recorded',
      );
    return this.#backend.read(value.buffer, value.offset, value.offset + this.size);
  }

  #view(shape: Shape, offset: number): Tensor {
    const value = this.value;
    if (value.kind !== 'constant' && value.kind !== 'state')
      throw new Error('rows, reshape: expected a tensor with data, got a recorded one; use slice');
    return new Tensor({ ...value, shape, offset: value.offset + offset }, this.#backend);
  }
}
