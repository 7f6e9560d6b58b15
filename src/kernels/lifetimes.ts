// When the scratch values of a plan are last used, so that storage can be used again.
import type { Value } from './plan.ts';

/** What a step of any kind touches. */
export interface Touches {
  readonly inputs: readonly Value[];
  readonly output: Value;
}

/** Index of the last step that touches each value; outputs are never given back. */
export function lastUses(plan: {
  readonly steps: readonly Touches[];
  readonly outputs: readonly Value[];
}): Map<Value, number> {
  const last = new Map<Value, number>();
  const touch = (step: Touches, index: number) => {
    for (const value of [...step.inputs, step.output]) last.set(value, index);
  };
  plan.steps.forEach(touch);
  for (const value of plan.outputs) last.set(value, Number.POSITIVE_INFINITY);
  return last;
}
