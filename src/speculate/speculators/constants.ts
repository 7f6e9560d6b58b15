// Vectors that the passes of a head find among its weights, and that no file has.
import type { Backend } from '../../kernels/backend.ts';
import { Tensor } from '../../tensor/tensor.ts';
import type { Constants, HeadWeights } from './algorithm.ts';

/** The weights, and constants beside them on the backend. */
export function withConstants(
  weights: HeadWeights,
  constants: Constants,
  backend: Backend,
): HeadWeights {
  const made = Object.entries(constants).map(([name, data]) => {
    const dtype = data instanceof Int32Array ? ('i32' as const) : ('f32' as const);
    const buffer = backend.alloc(dtype, data.length);
    backend.write(buffer, data);
    const value = { kind: 'constant' as const, dtype, shape: [data.length], buffer, offset: 0 };
    return [name, new Tensor(value, backend)] as const;
  });
  return new Map([...weights, ...made]);
}
