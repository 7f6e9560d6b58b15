// Tensors that stay on a backend until their owner frees all of them. Where there is no room for one more, those that are there go:
// whoever wanted them has nothing to free then.
import type { Backend } from '../kernels/backend.ts';
import type { Buffer, DType } from '../kernels/plan.ts';
import { type Shape, sizeOf } from './shape.ts';
import { Tensor } from './tensor.ts';

/** What one owner has on a backend. */
export interface Kept {
  /** f32 or i32, as the data are. */
  constant(data: Float32Array | Int32Array, shape: Shape): Tensor;
  /** f32 zeros that `scatter` may write in place. */
  state(shape: Shape): Tensor;
  free(): void;
}

/** Keeps tensors on a backend, beginning with those that are given. */
export function createKept(backend: Backend, given: Iterable<Tensor> = []): Kept {
  const buffers = new Set<Buffer>();
  for (const { value } of given) if ('buffer' in value) buffers.add(value.buffer);
  const free = () => {
    for (const buffer of buffers) backend.free(buffer);
    buffers.clear();
  };
  const alloc = (dtype: DType, shape: Shape): Buffer => {
    try {
      const buffer = backend.alloc(dtype, sizeOf(shape));
      buffers.add(buffer);
      return buffer;
    } catch (error) {
      free();
      throw error;
    }
  };
  return {
    constant(data, shape) {
      const dtype = data instanceof Int32Array ? 'i32' : 'f32';
      const buffer = alloc(dtype, shape);
      backend.write(buffer, data);
      return new Tensor({ kind: 'constant', dtype, shape, buffer, offset: 0 }, backend);
    },
    state(shape) {
      const buffer = alloc('f32', shape);
      return new Tensor({ kind: 'state', dtype: 'f32', shape, buffer, offset: 0 }, backend);
    },
    free,
  };
}
