// The reference backend: the definition of every op, run as it stands. The oracle of all other backends.
import type { Backend } from '../backend.ts';
import { interpreter } from '../interpreter.ts';
import type { KernelTable } from '../operand.ts';
import * as decoder from './decoder.ts';
import * as mixture from './experts.ts';
import * as general from './general.ts';

/** Every op by its definition. */
export const referenceKernels: KernelTable = {
  linear: decoder.linear,
  rmsNorm: decoder.rmsNorm,
  rope: decoder.rope,
  scatter: decoder.scatter,
  attention: decoder.attention,
  siluMul: decoder.siluMul,
  route: mixture.route,
  experts: mixture.experts,
  gather: general.gather,
  unary: general.unary,
  binary: general.binary,
  compare: general.compare,
  where: general.where,
  cast: general.cast,
  reduce: general.reduce,
  softmax: general.softmax,
  matmul: general.matmul,
  transpose: general.transpose,
  concat: general.concat,
  slice: general.slice,
};

/** The reference backend: slow, obvious, float64 inside every op, f32 between ops. */
export function reference(): Backend {
  return interpreter(referenceKernels, {
    backend: 'reference',
    executor: 'float64 loops',
    stepTimings: true,
    preferredRows: 64,
    notes: [],
  });
}
