// The instructions of a plan before they have addresses: its steps, and what a linear needs before it. Weights that do not
// lie in panels are packed; beside weights in blocks the rows of x are quantised, once for all linears that read them.
import { BLOCK, isBlocked } from '../blocks.ts';
import type { Touches } from '../lifetimes.ts';
import type { Plan, Step, Value } from '../plan.ts';
import { panelElements } from './float-panels.ts';
import { inPanels, isNative } from './native.ts';

/** One instruction to be, with the index of the step of the plan that it belongs to. */
export type Work =
  | { readonly kind: 'step'; readonly index: number; readonly step: Step }
  | {
      /** A linear over what was made ready for it, or what makes it ready. */
      readonly kind: 'linear' | 'quantise' | 'pack';
      readonly index: number;
      readonly step: Touches;
      /** The weights of the plan. */
      readonly weight: Value;
    };

/** The work of a plan in order; linears read quantised rows and packed weights in place of their own. */
export function expand({ steps }: Plan): Work[] {
  const quantised = new Map<Value, { readonly dtype: string; readonly output: Value }[]>();
  return steps.flatMap((step, index): Work[] => {
    const [x, weight, ...bias] = step.inputs;
    if (step.op !== 'linear' || !isNative(step)) return [{ kind: 'step', index, step }];
    const work = (kind: 'linear' | 'quantise' | 'pack', inputs: readonly Value[], output: Value) =>
      ({ kind, index, step: { inputs, output }, weight }) as const;
    const linear = (inputs: readonly Value[]) => work('linear', inputs, step.output);
    if (!isBlocked(weight.dtype)) {
      if (inPanels(weight)) return [linear(step.inputs)];
      const output = panelsFor(weight);
      return [work('pack', [weight], output), linear([x, output, ...bias])];
    }
    const made = quantised.get(x) ?? [];
    const known = made.find(({ dtype }) => dtype === weight.dtype);
    const output = known?.output ?? rowsFor(x, weight);
    const last = linear([output, weight, ...bias]);
    if (known) return [last];
    // What a state holds may change from step to step.
    if (x.kind !== 'state') quantised.set(x, [...made, { dtype: weight.dtype, output }]);
    return [work('quantise', [x], output), last];
  });
}

/** Room for all rows of x: 16 bits an input beside q8_0, 8 beside q4_0, and 32 bytes for each block of four rows. */
function rowsFor({ shape }: Value, { dtype }: Value): Value {
  const [rows, inner] = shape;
  const scales = Math.ceil(rows / 4) * (inner / BLOCK) * 32;
  const bytes = rows * inner * (dtype === 'q8_0' ? 2 : 1) + scales;
  return { kind: 'scratch', dtype: 'u8', shape: [bytes] };
}

/** Room for the panels of a matrix. */
function panelsFor({ dtype, shape: [rows, columns] }: Value): Value {
  return { kind: 'scratch', dtype, shape: [panelElements(rows, columns)] };
}
