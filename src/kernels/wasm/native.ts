// Which steps the assembly has kernels for; the others stay with the host.
import { isBlocked } from '../blocks.ts';
import type { DType, OpParams, Step, Value } from '../plan.ts';
import type { WasmBuffer } from './buffers.ts';

/** Element types of `linear`, `experts` and `gather`, as the assembly has them. */
export const TYPES: { readonly [Type in DType]?: number } = {
  f32: 0,
  bf16: 1,
  f16: 2,
  q8_0: 3,
  q4_0: 4,
  i32: 5,
};

const OPS: readonly string[] = ['rmsNorm', 'rope', 'scatter', 'attention', 'siluMul', 'experts'];

/** Whether a step becomes an instruction. */
export function isNative({ op, inputs, output, params }: Step): boolean {
  const [first, second] = inputs;
  const others = (matrix: Value) => inputs.every((value) => value === matrix || inOrder(value));
  switch (op) {
    case 'linear':
      return others(second) && (inPanels(second) || (inOrder(second) && !isBlocked(second.dtype)));
    case 'binary': {
      const { fn } = params as OpParams['binary'];
      const plain = fn === 'add' && output.dtype === 'f32' && inputs.every(inOrder);
      return plain && alike(first, output) && alike(second, output);
    }
    case 'gather': {
      const { axis } = params as OpParams['gather'];
      const rows = axis === 0 && first.shape.length === 2 && TYPES[first.dtype] !== undefined;
      return (
        rows && others(first) && (inPanels(first) || (inOrder(first) && !isBlocked(first.dtype)))
      );
    }
    default:
      return OPS.includes(op) && inputs.every(inOrder);
  }
}

/** Whether a value is a whole matrix in panels. */
export function inPanels(value: Value): boolean {
  if (!('buffer' in value)) return false;
  const { columns, length } = value.buffer as WasmBuffer;
  return columns !== null && value.shape[1] === columns && value.shape[0] * columns === length;
}

/** Whether the elements of a value lie in their order. */
function inOrder(value: Value): boolean {
  return !('buffer' in value) || (value.buffer as WasmBuffer).columns === null;
}

const alike = (a: Value, b: Value) => a.extent === b.extent && a.shape.join() === b.shape.join();
