// Which steps of a plan become one: products of the same rows with several matrices (q, k and v), a gated unit (gate, up and
// their product), and a product that is added to something (a residual). Every step less is a dispatch less.
import type { Plan, Step, Value } from '../plan.ts';
import type { Constant } from './lowered.ts';

/** Linear steps of the same x, and what is done with their outputs where it is done at once. */
export interface Fused {
  readonly x: Value;
  readonly weights: readonly Value[];
  /** None, or one for each. */
  readonly biases: readonly Value[];
  readonly finish:
    | { readonly kind: 'nothing'; readonly outputs: readonly Value[] }
    | { readonly kind: 'siluMul'; readonly output: Value }
    | { readonly kind: 'add'; readonly residual: Value; readonly output: Value };
}

/** What stands at a step: a product of several, or null where another step has it. Other steps are not in the map. */
export function fuse({ steps, outputs }: Plan): ReadonlyMap<Step, Fused | null> {
  const uses = new Map<Value, Step[]>();
  for (const step of steps)
    for (const input of step.inputs) uses.set(input, [...(uses.get(input) ?? []), step]);
  /** The only step that needs a value. */
  const onlyUse = (value: Value) => {
    const using = uses.get(value) ?? [];
    return using.length === 1 && !outputs.includes(value) ? using[0] : undefined;
  };
  const fused = new Map<Step, Fused | null>();
  for (const [index, step] of steps.entries()) {
    if (step.op !== 'linear' || fused.has(step)) continue;
    const alike = steps.slice(index).filter((other) => joins(step, other));
    const outcomes = alike.map(({ output }) => output);
    const parts = {
      x: step.inputs[0],
      weights: alike.map(({ inputs: [, weight] }) => weight),
      biases: alike.flatMap(({ inputs: [, , bias] }) => bias ?? []),
    };
    for (const other of alike) fused.set(other, null);
    const [first] = outcomes;
    const next = onlyUse(first);
    const free = next !== undefined && !fused.has(next);
    if (free && outcomes.length === 2 && isGate(next, outcomes) && onlyUse(outcomes[1]) === next)
      fused.set(next, { ...parts, finish: { kind: 'siluMul', output: next.output } });
    else if (free && outcomes.length === 1 && isSum(next, first)) {
      const residual = next.inputs.find((input) => input !== first)!;
      fused.set(next, { ...parts, finish: { kind: 'add', residual, output: next.output } });
    } else fused.set(step, { ...parts, finish: { kind: 'nothing', outputs: outcomes } });
  }
  return fused;
}

/** Whether two products can be one: the same rows, and weights that can be put below each other before the run. */
function joins(first: Step, other: Step): boolean {
  if (other === first) return true;
  const [x, weight, bias] = first.inputs;
  const [otherX, otherWeight, otherBias] = other.inputs;
  return (
    other.op === 'linear' &&
    otherX === x &&
    isConstant(weight) &&
    isConstant(otherWeight) &&
    weight.dtype === otherWeight.dtype &&
    (bias === undefined
      ? otherBias === undefined
      : isConstant(bias) && otherBias !== undefined && isConstant(otherBias))
  );
}

const isConstant = (value: Value): value is Constant => value.kind === 'constant';

/** silu(first) · second */
function isGate({ op, inputs }: Step, [gate, up]: readonly Value[]): boolean {
  return op === 'siluMul' && inputs[0] === gate && inputs[1] === up;
}

/** value + something of the same shape */
function isSum({ op, params, inputs, output }: Step, value: Value): boolean {
  return (
    op === 'binary' &&
    'fn' in params &&
    params.fn === 'add' &&
    inputs[0] !== inputs[1] &&
    inputs.every(({ dtype, shape }) => dtype === 'f32' && shape.join() === output.shape.join()) &&
    inputs.includes(value)
  );
}
