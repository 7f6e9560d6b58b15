// Which steps the assembly has kernels for; the others stay with the host.
import { isBlocked } from '../blocks.ts';
import type { DType, OpParams, Step, Value } from '../plan.ts';
import type { WasmBuffer } from './buffers.ts';

/** Weight types of `linear` and `gather`, as the assembly has them. */
export const WEIGHTS: { readonly [Type in DType]?: number } = {
  f32: 0,
  bf16: 1,
  f16: 2,
  q8_0: 3,
  q4_0: 4,
};

const OPS: readonly string[] = ['rmsNorm', 'rope', 'scatter', 'attention', 'siluMul'];

/** Whether a step becomes an instruction. */
export function isNative({ op, inputs, output, params }: Step): boolean {
  switch (op) {
    case 'linear':
      return WEIGHTS[inputs[1].dtype] !== undefined && wholePanels(inputs[1]);
    case 'binary': {
      const [a, b] = inputs;
      const { fn } = params as OpParams['binary'];
      return fn === 'add' && output.dtype === 'f32' && alike(a, output) && alike(b, output);
    }
    case 'gather': {
      const [source] = inputs;
      const { axis } = params as OpParams['gather'];
      const rows = axis === 0 && source.shape.length === 2;
      const known =
        source.dtype === 'i32' || (source.dtype !== 'f16' && WEIGHTS[source.dtype] !== undefined);
      return rows && known && wholePanels(source);
    }
    default:
      return OPS.includes(op);
  }
}

/** A matrix in blocks must be seen whole, as it lies in its panels. */
function wholePanels(value: Value): boolean {
  if (!isBlocked(value.dtype)) return true;
  if (!('buffer' in value)) return false;
  const { columns, length } = value.buffer as WasmBuffer;
  return value.shape[1] === columns && value.shape[0] * columns === length;
}

const alike = (a: Value, b: Value) => a.extent === b.extent && a.shape.join() === b.shape.join();
