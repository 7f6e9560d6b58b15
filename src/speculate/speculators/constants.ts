// Vectors that the passes of a head find among its weights, and that no file has.
import type { Backend } from '../../kernels/backend.ts';
import { createKept } from '../../tensor/kept.ts';
import type { Constants, HeadWeights } from './algorithm.ts';

/** The weights, and constants beside them on the backend. Where there is no room for these, the weights are freed, too. */
export function withConstants(
  weights: HeadWeights,
  constants: Constants,
  backend: Backend,
): HeadWeights {
  const kept = createKept(backend, weights.values());
  const made = Object.entries(constants).map(
    ([name, data]) => [name, kept.constant(data, [data.length])] as const,
  );
  return new Map([...weights, ...made]);
}
