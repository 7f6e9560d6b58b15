// The instructions of a plan before they have addresses: its steps, and what a linear needs before it. Rows of x are arranged
// for its tiles, or quantised beside weights in blocks, once for all linears that read them; weights that do not lie in panels
// are packed. Experts are two instructions.
import { BLOCK, isBlocked } from '../blocks.ts';
import type { Touches } from '../lifetimes.ts';
import type { OpParams, Plan, Step, Value } from '../plan.ts';
import { panelElements } from './float-panels.ts';
import { inPanels, isNative } from './native.ts';

/** One instruction to be, with the index of the step of the plan that it belongs to. */
export type Work =
  | { readonly kind: 'step'; readonly index: number; readonly step: Step }
  | {
      /** A linear over what was made ready for it, or what makes it ready. */
      readonly kind: 'linear' | 'rows' | 'pack';
      readonly index: number;
      readonly step: Touches;
      /** The weights of the plan. */
      readonly weight: Value;
    }
  | ExpertsWork;

/** The hidden values of the experts of every row, f32 [T, count, F], or what the experts make of them. */
export interface ExpertsWork {
  readonly kind: 'hidden' | 'experts';
  readonly index: number;
  readonly step: Touches;
  readonly hidden: Value;
}

/** The work of a plan in order; linears read rows and weights that were made ready in place of their own. */
export function expand({ steps }: Plan): Work[] {
  const ready = new Map<Value, { readonly form: string; readonly output: Value }[]>();
  return steps.flatMap((step, index): Work[] => {
    const [x, weight, ...bias] = step.inputs;
    if (step.op === 'experts' && isNative(step)) return expandExperts(step, index);
    if (step.op !== 'linear' || !isNative(step)) return [{ kind: 'step', index, step }];
    const work = (kind: 'linear' | 'rows' | 'pack', inputs: readonly Value[], output: Value) =>
      ({ kind, index, step: { inputs, output }, weight }) as const;
    const before: Work[] = [];
    const form = isBlocked(weight.dtype) ? weight.dtype : 'floats';
    const made = ready.get(x) ?? [];
    let rows = made.find((each) => each.form === form)?.output;
    if (rows === undefined) {
      rows = rowsFor(x, weight);
      before.push(work('rows', [x], rows));
      // What a state holds may change from step to step.
      if (x.kind !== 'state') ready.set(x, [...made, { form, output: rows }]);
    }
    let panels = weight;
    if (!inPanels(weight)) {
      panels = panelsFor(weight);
      before.push(work('pack', [weight], panels));
    }
    return [...before, work('linear', [rows, panels, ...bias], step.output)];
  });
}

function expandExperts({ inputs, output, params }: Step, index: number): Work[] {
  const [x, shares, gateUp, down] = inputs;
  const { count } = params as OpParams['experts'];
  const shape = [output.shape[0], count, down.shape[2]];
  const hidden: Value = { kind: 'scratch', dtype: 'f32', shape, extent: output.extent };
  return [
    { kind: 'hidden', index, hidden, step: { inputs: [x, shares, gateUp], output: hidden } },
    { kind: 'experts', index, hidden, step: { inputs: [hidden, shares, down], output } },
  ];
}

/**
 * Room for all rows of x. Beside floats, in fours; beside q8_0 16 bits an input, beside q4_0 8, and 32 bytes for each block of
 * four rows.
 */
function rowsFor({ shape }: Value, { dtype }: Value): Value {
  const [rows, inner] = shape;
  if (!isBlocked(dtype))
    return { kind: 'scratch', dtype: 'f32', shape: [rows, Math.ceil(inner / 4) * 4] };
  const scales = Math.ceil(rows / 4) * (inner / BLOCK) * 32;
  const bytes = rows * inner * (dtype === 'q8_0' ? 2 : 1) + scales;
  return { kind: 'scratch', dtype: 'u8', shape: [bytes] };
}

/** Room for the panels of a matrix. */
function panelsFor({ dtype, shape: [rows, columns] }: Value): Value {
  return { kind: 'scratch', dtype, shape: [panelElements(rows, columns)] };
}
