// Recording: run straight-line code over symbolic tensors and keep the kernel calls as a plan.
import type { DType, Extent, Plan, Step } from '../kernels/plan.ts';
import { createOps, type Ops } from './ops.ts';
import { Tensor } from './tensor.ts';

/** The vocabulary while recording, and the inputs of the plan. */
export interface Recorder extends Ops {
  /** A tensor the caller writes before every run; the leading dimension of an extent is its maximum. */
  input(name: string, dtype: DType, shape: readonly number[], extent?: Extent): Tensor;
}

/** Records what `body` does; the tensors it returns are what a caller may read after a run. */
export function record(body: (ops: Recorder) => readonly Tensor[]): Plan {
  const steps: Step[] = [];
  const ops = createOps((op, inputs, params, result) => {
    // Scatter is the one op that writes in place: its result is its state.
    const output = op === 'scatter' ? inputs[0].value : { kind: 'scratch' as const, ...result };
    steps.push({ op, inputs: inputs.map((tensor) => tensor.value), output, params } as Step);
    return new Tensor(output, null);
  });
  const outputs = body({
    ...ops,
    input: (name, dtype, shape, extent) =>
      new Tensor({ kind: 'input', name, dtype, shape, extent }, null),
  });
  return { steps, outputs: outputs.map((tensor) => tensor.value) };
}
