// Steps over matrices that lie in an annex: their instructions, and the areas where workers compute them.
import { bytesPerElement } from '../dtype.ts';
import type { Value } from '../plan.ts';
import { sizeOf } from '../size.ts';
import type { WasmBuffer } from './buffers.ts';
import type { Work } from './expand.ts';
import type { Storage } from './storage.ts';

/** Op of assembly/elsewhere.ts. */
const ELSEWHERE = 11;
/** The arguments, first in an area. */
const ARGUMENTS = 64;

/** The areas of a plan. */
export interface Areas {
  /** The instruction for a step, given the one for memory 0. */
  elsewhere(work: Work, code: number[] | null): number[] | null;
  release(): void;
}

/** Makes room for every worker in every annex that the plan reads. */
export function placeAreas(
  work: readonly Work[],
  {
    storage,
    threads,
    scratchBytes,
  }: { readonly storage: Storage; readonly threads: number; readonly scratchBytes: number },
): Areas {
  const strides = new Map<number, number>();
  for (const item of work) {
    const annex = annexOf(item);
    if (annex === 0) continue;
    const bytes = areaBytes(item) + line(scratchBytes);
    strides.set(annex, Math.max(bytes, strides.get(annex) ?? 0));
  }
  const areas = new Map<number, { readonly address: number; readonly stride: number }>();
  const release = () => {
    for (const [annex, { address }] of areas) storage.release(annex, address);
  };
  try {
    for (const [annex, stride] of strides) {
      const address = storage.memoryOf(annex).allocate(stride * threads);
      areas.set(annex, { address, stride });
    }
  } catch (error) {
    release();
    throw error;
  }
  return {
    elsewhere(item, code) {
      const annex = annexOf(item);
      if (annex === 0 || code === null) return code;
      const { address, stride } = areas.get(annex)!;
      const [op, , ...args] = code;
      return [ELSEWHERE, args.length + 6, annex, address, stride, op, ...args];
    },
    release,
  };
}

/** The annex of the matrix of a step, 0 for memory 0. */
function annexOf(item: Work): number {
  const matrix = matrixOf(item);
  return matrix !== undefined && 'buffer' in matrix ? (matrix.buffer as WasmBuffer).annex : 0;
}

function matrixOf(item: Work): Value | undefined {
  if (item.kind === 'linear') return item.weight;
  return item.kind === 'step' && item.step.op === 'gather' ? item.step.inputs[0] : undefined;
}

/** Arguments, x or indices, bias, y: what assembly/elsewhere.ts copies, for all rows. */
function areaBytes(item: Work): number {
  const { inputs, output } = item.step;
  const read = item.kind === 'linear' ? inputs[0] : inputs[1];
  const bias = item.kind === 'linear' ? 4 * item.weight.shape[0] : 0;
  return ARGUMENTS + line(bytesOf(read)) + line(bias) + line(bytesOf(output));
}

const bytesOf = ({ shape, dtype }: Value) => sizeOf(shape) * bytesPerElement[dtype];

const line = (bytes: number) => Math.ceil(bytes / 64) * 64;
