// The instructions of a plan before they have addresses: its steps, and before a linear with weights in blocks the step that
// quantises its rows, once for all linears that read them.
import { BLOCK, isBlocked } from '../blocks.ts';
import type { Plan, Step, Value } from '../plan.ts';
import { isNative } from './native.ts';

/** One instruction to be, with the index of the step of the plan that it belongs to. */
export type Work =
  | { readonly kind: 'step'; readonly index: number; readonly step: Step }
  | {
      readonly kind: 'quantise';
      readonly index: number;
      readonly step: { readonly inputs: readonly [Value]; readonly output: Value };
      readonly weight: Value;
    };

/** The work of a plan in order; a linear with weights in blocks reads quantised rows in place of its own. */
export function expand({ steps }: Plan): Work[] {
  const quantised = new Map<Value, { readonly dtype: string; readonly output: Value }[]>();
  return steps.flatMap((step, index): Work[] => {
    const [x, weight, ...bias] = step.inputs;
    if (step.op !== 'linear' || !isBlocked(weight.dtype) || !isNative(step))
      return [{ kind: 'step', index, step }];
    const known = quantised.get(x)?.find(({ dtype }) => dtype === weight.dtype);
    const output = known?.output ?? rowsFor(x, weight);
    const work: Work = {
      kind: 'step',
      index,
      step: { ...step, inputs: [output, weight, ...bias] },
    };
    if (known) return [work];
    // What a state holds may change from step to step.
    if (x.kind !== 'state')
      quantised.set(x, [...(quantised.get(x) ?? []), { dtype: weight.dtype, output }]);
    return [{ kind: 'quantise', index, step: { inputs: [x], output }, weight }, work];
  });
}

/** Room for all rows of x: 16 bits an input beside q8_0, 8 beside q4_0, and 32 bytes for each block of four rows. */
function rowsFor({ shape }: Value, { dtype }: Value): Value {
  const [rows, inner] = shape;
  const scales = Math.ceil(rows / 4) * (inner / BLOCK) * 32;
  const bytes = rows * inner * (dtype === 'q8_0' ? 2 : 1) + scales;
  return { kind: 'scratch', dtype: 'u8', shape: [bytes] };
}
