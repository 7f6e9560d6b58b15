// The cpu backend: typed arrays and register tiles in plain JavaScript, no dependencies. The ops that a decoder spends
// its time in have kernels here; the rest of the vocabulary runs as the reference defines it, and the report says so.
import type { Backend } from '../backend.ts';
import { interpreter } from '../interpreter.ts';
import type { KernelTable } from '../operand.ts';
import { referenceKernels } from '../reference/index.ts';
import { createAttention } from './attention.ts';
import { createExperts } from './experts.ts';
import { createLinear } from './linear.ts';
import { binary, gather, rmsNorm, rope, scatter, siluMul } from './pointwise.ts';

/** The cpu backend: one thread, float64 accumulators, weights in f32, f16 or bf16. */
export function cpu(): Backend {
  const own = {
    linear: createLinear(),
    attention: createAttention(),
    experts: createExperts(),
    rmsNorm,
    rope,
    scatter,
    siluMul,
    binary,
    gather,
  };
  const kernels: KernelTable = { ...referenceKernels, ...own };
  const shared = Object.keys(kernels).filter((op) => !(op in own));
  return interpreter(kernels, {
    backend: 'cpu',
    executor: 'typed arrays, 1 thread',
    stepTimings: true,
    preferredRows: 64,
    notes: [`by the reference's definition: ${shared.join(', ')}`],
  });
}
