// A plan as instructions for assembly/index.ts: words in memory, [op, words, arguments ...]. What the assembly has no
// kernel for stays a step of the host.
import { isBlocked } from '../blocks.ts';
import { bytesPerElement } from '../dtype.ts';
import type { DType, OpName, OpParams, Plan, Step, Value } from '../plan.ts';
import { sizeOf } from '../size.ts';
import { CHUNK as BLOCK_CHUNK, PANEL } from './block-panels.ts';
import type { ExpertsWork, Work } from './expand.ts';
import { CHUNK as FLOAT_CHUNK } from './float-panels.ts';
import { inPanels, isNative, TYPES } from './native.ts';

/** Numbers of the ops in assembly/index.ts. */
const CODES = {
  linear: 0,
  rmsNorm: 1,
  rope: 2,
  scatter: 3,
  attention: 4,
  siluMul: 5,
  binary: 6,
  gather: 7,
  quantise: 8,
  linearBlocks: 9,
  pack: 10,
  arrange: 12,
  expertsHidden: 13,
  expertsSum: 14,
} as const satisfies {
  readonly [Op in
    | OpName
    | 'quantise'
    | 'linearBlocks'
    | 'pack'
    | 'arrange'
    | 'expertsHidden'
    | 'expertsSum']?: number;
};

/** Rows of a group and of a tile in assembly/tiles.ts. */
const GROUP = 8;
const TILE = 4;

/** Where values and numbers of rows lie. */
export interface Places {
  address(value: Value): number;
  /** A word that holds the number of rows in use of a value (its leading dimension, 1 for a scalar). */
  rows(value: Value): number;
}

/** One instruction, or null for a step of the host. */
export function instruction(work: Work, places: Places): number[] | null {
  if (work.kind === 'step') return stepInstruction(work.step, places);
  if ('hidden' in work) return expertsInstruction(work, places);
  const { weight, step } = work;
  const { inputs, output } = step;
  const [outer, inner] = weight.shape;
  const type = TYPES[weight.dtype]!;
  const at = places.address;
  switch (work.kind) {
    case 'rows': {
      const [x] = inputs;
      if (!isBlocked(weight.dtype))
        return encode('arrange', [at(output), at(x), places.rows(x), inner]);
      return encode('quantise', [at(output), at(x), places.rows(x), inner, type, x.shape[0]]);
    }
    case 'pack':
      return encode('pack', [at(output), at(weight), outer, inner, bytesPerElement[weight.dtype]]);
    case 'linear': {
      const [x, panels, bias] = inputs;
      const all = [at(output), at(x), at(panels), bias ? at(bias) : 0];
      const args = [...all, places.rows(output), inner, outer, type];
      return isBlocked(weight.dtype)
        ? encode('linearBlocks', [...args, output.shape[0]])
        : encode('linear', args);
    }
  }
}

/** Both read rows, shares and weights; one gives the hidden values of a row's experts, the other their sum. */
function expertsInstruction({ kind, step, hidden }: ExpertsWork, places: Places): number[] {
  const { inputs, output } = step;
  const [rows, shares, weights] = inputs;
  const [, count, inner] = hidden.shape;
  const width = columnsOf(kind === 'hidden' ? rows : output);
  return encode(kind === 'hidden' ? 'expertsHidden' : 'expertsSum', [
    ...[output, rows, shares, weights].map(places.address),
    places.rows(output),
    ...[width, inner, shares.shape[1], count, TYPES[weights.dtype]!],
  ]);
}

const encode = (name: keyof typeof CODES, args: readonly number[]): number[] => [
  CODES[name],
  args.length + 2,
  ...args,
];

function stepInstruction(step: Step, places: Places): number[] | null {
  if (!isNative(step)) return null;
  const { op, inputs, output } = step;
  const at = places.address;
  const all = [output, ...inputs].map(at);
  const rows = places.rows(output);
  let args: number[];
  switch (op) {
    case 'rmsNorm': {
      const { eps } = step.params as OpParams['rmsNorm'];
      const size = inputs[1].shape[0];
      args = [...all, rows, output.shape[1] / size, size, bitsOf(eps)];
      break;
    }
    case 'rope': {
      const { heads } = step.params as OpParams['rope'];
      args = [...all, rows, heads, inputs[2].shape[1], output.shape[1] / heads];
      break;
    }
    case 'scatter': {
      const [, source] = inputs;
      args = [
        ...all.slice(1),
        places.rows(source),
        columnsOf(source) * bytesPerElement[source.dtype],
      ];
      break;
    }
    case 'attention': {
      const { heads, kvHeads, scale, window } = step.params as OpParams['attention'];
      const size = output.shape[1] / heads;
      const slots = inputs[1].shape[0];
      args = [...all, rows, heads, kvHeads, size, bitsOf(scale), window, slots];
      break;
    }
    case 'gather': {
      const [source] = inputs;
      const type = TYPES[source.dtype]!;
      args = [...all, rows, columnsOf(output), type, source.shape[0], inPanels(source) ? 1 : 0];
      break;
    }
    default:
      args = [...all, rows, columnsOf(output)];
  }
  return encode(op as keyof typeof CODES, args);
}

/** Bytes of scratch space a worker needs for the plan. */
export function scratchBytes({ steps }: Plan): number {
  const needs = steps.map(({ op, inputs }) => {
    if (op === 'attention') return 4 * 4 * (inputs[1].shape[0] + 4);
    if (op !== 'linear') return 0;
    // A place for a last panel that is not whole; zeros; four lanes of a tile; sums of a group of rows that wait for the next chunk.
    const [x, { dtype, shape }] = inputs;
    const [outer, inner] = shape;
    const waiting = inner > chunkOf(dtype) ? Math.ceil(outer / PANEL) * PANEL : 0;
    return 4 * ((GROUP + 5 * TILE) * PANEL + Math.min(GROUP, x.shape[0]) * waiting);
  });
  return Math.max(0, ...needs);
}

/** Columns of a chunk. */
const chunkOf = (dtype: DType) => (isBlocked(dtype) ? BLOCK_CHUNK : FLOAT_CHUNK);

/** Elements of a row. */
export const columnsOf = ({ shape }: Value) => sizeOf(shape.slice(1));

const float = new Float32Array(1);
const word = new Int32Array(float.buffer);

/** An f32 as the word that holds it. */
function bitsOf(value: number): number {
  float[0] = value;
  return word[0];
}
