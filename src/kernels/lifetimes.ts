// When the scratch values of a plan are last used, so that storage can be used again.
import type { Plan, Step, Value } from './plan.ts';

/** Index of the last step that touches each value; outputs are never given back. */
export function lastUses(plan: Plan): Map<Value, number> {
  const last = new Map<Value, number>();
  const touch = (step: Step, index: number) => {
    for (const value of [...step.inputs, step.output]) last.set(value, index);
  };
  plan.steps.forEach(touch);
  for (const value of plan.outputs) last.set(value, Number.POSITIVE_INFINITY);
  return last;
}
