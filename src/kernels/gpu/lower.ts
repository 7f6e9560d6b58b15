// Turns a plan into kernel calls over grids: which arrays are resident, which come with every run, and which text runs.
// Nothing here needs gpu.js or data; pipeline.ts compiles the result.
import { BLOCK, isBlocked } from '../blocks.ts';
import { UnsupportedError } from '../errors.ts';
import { INDEX_INPUTS } from '../indices.ts';
import type { OpName, Plan, Step, Value } from '../plan.ts';
import { sizeOf } from '../size.ts';
import * as decoder from './decoder.ts';
import * as mixture from './experts.ts';
import { type Fused, fuse } from './fuse.ts';
import * as general from './general.ts';
import { kernelCall } from './kernel-call.ts';
import type { ArgumentSource, Constant, KernelCall, Lowered, Resident, Result } from './lowered.ts';
import { wordsOf } from './packed.ts';
import { type Emit, type Grid, gridSize, type Template } from './programs.ts';
import { type Layout, type Matrix, project } from './project.ts';
import { PER_RAW_WORD, staysRaw } from './raw.ts';
import { reduce, softmax } from './reduce.ts';

const TEMPLATES: { readonly [Op in Exclude<OpName, 'scatter' | 'linear'>]: Template<Op> } = {
  rmsNorm: decoder.rmsNorm,
  rope: decoder.rope,
  attention: decoder.attention,
  siluMul: decoder.siluMul,
  route: mixture.route,
  experts: mixture.experts,
  gather: general.gather,
  unary: general.unary,
  binary: general.binary,
  compare: general.compare,
  where: general.where,
  cast: general.cast,
  reduce,
  softmax,
  matmul: general.matmul,
  transpose: general.transpose,
  concat: general.concat,
  slice: general.slice,
};

/** What lowering has to know beside the plan. */
export interface LowerOptions {
  /** The states that do not start at zero. */
  readonly hasData: (state: Constant) => boolean;
  /** A call may leave cells of its buffer as they were. */
  readonly inPlace: boolean;
  readonly layout: Layout;
  /** Weights keep the bits of their file where they can. */
  readonly raw: boolean;
  /** Columns that a result may have. */
  readonly maxColumns: number;
}

/** The kernel calls of a plan. */
export function lower(
  plan: Plan,
  { hasData, inPlace, layout, raw, maxColumns }: LowerOptions,
): Lowered {
  const calls: KernelCall[] = [];
  const constants: Resident[] = [];
  const sources: ArgumentSource[] = [];
  const states: { value: Constant; call: number; initial: number | null }[] = [];
  const grids = new Map<Value, Grid>();
  const writers = new Map<Value, Grid>();
  const written = new Set(
    plan.steps.filter(({ op }) => op === 'scatter').map(({ output }) => bufferOf(output)),
  );

  const emit: Emit = (output, inputs, body) => {
    general.checkGrid('kernel', output.shape);
    const call = kernelCall(output, inputs, body);
    calls.push(call);
    return {
      source: { kind: 'call', index: calls.length - 1 },
      shape: output.shape,
      extent: output.extent,
    };
  };

  const argument = (source: ArgumentSource, value: Value): Grid => {
    sources.push(source);
    return {
      source: { kind: 'argument', index: sources.length - 1 },
      shape: value.shape,
      extent: value.extent,
    };
  };

  const constant = (
    values: readonly Constant[],
    part: Resident['part'],
    shape: readonly number[],
  ): Grid => {
    let index = constants.findIndex(
      (other) => other.part === part && sameData(other.values, values),
    );
    if (index < 0) index = constants.push({ values, part, shape }) - 1;
    return { source: { kind: 'constant', index }, shape };
  };

  /** Matrices below each other. Weights in blocks stay packed. */
  const matrixOf = (weights: readonly Value[]): Matrix => {
    const known = weights.filter((weight) => weight.kind === 'constant');
    if (known.length < weights.length) return { kind: 'elements', elements: gridOf(weights[0]) };
    const [{ dtype, shape }] = known;
    const rows = known.reduce((sum, weight) => sum + weight.shape[0], 0);
    const inner = shape[1];
    const scales = () => constant(known, 'scales', [rows, inner / BLOCK]);
    if (raw && staysRaw(dtype, inner)) {
      const words = constant(known, 'raw', [rows, inner / PER_RAW_WORD[dtype]]);
      if (dtype === 'bf16' || dtype === 'f16') return { kind: 'pairs', dtype, words };
      return { kind: 'blocks', dtype, raw: true, words, scales: scales() };
    }
    if (!isBlocked(dtype))
      return { kind: 'elements', elements: constant(known, 'elements', [rows, inner]) };
    const words = constant(known, 'words', [rows, (inner / BLOCK) * wordsOf(dtype)]);
    return { kind: 'blocks', dtype, raw: false, words, scales: scales() };
  };

  const biasOf = (biases: readonly Value[]): Grid | undefined => {
    const known = biases.filter((bias) => bias.kind === 'constant');
    if (known.length < biases.length || biases.length === 0) return biases[0] && gridOf(biases[0]);
    const length = known.reduce((sum, bias) => sum + bias.shape[0], 0);
    return constant(known, 'elements', [length]);
  };

  /** Products that are one kernel or two; their outputs are parts of its columns. */
  const product = ({ x, weights, biases, finish }: Fused): void => {
    const parts = { x: gridOf(x), matrix: matrixOf(weights), bias: biasOf(biases) };
    if (finish.kind !== 'nothing') {
      const { output } = finish;
      const more =
        finish.kind === 'add' ? { residual: gridOf(finish.residual) } : { gated: true as const };
      grids.set(output, project(emit, { ...parts, ...more }, { layout, maxColumns, output }));
      return;
    }
    const [{ shape, extent }] = finish.outputs;
    const columns = finish.outputs.reduce((sum, output) => sum + output.shape[1], 0);
    const output = { shape: [shape[0], columns], extent };
    const whole = project(emit, parts, { layout, maxColumns, output });
    if (finish.outputs.length === 1) {
      grids.set(finish.outputs[0], whole);
      return;
    }
    let left = 0;
    for (const part of finish.outputs) {
      grids.set(part, { ...whole, shape: part.shape, left });
      left += part.shape[1];
    }
  };

  const gridOf = (value: Value): Grid => {
    let grid = grids.get(value);
    if (grid !== undefined) return grid;
    general.checkGrid('tensor', value.shape);
    if (value.kind === 'scratch')
      throw new Error('internal: a step reads a value nothing produces');
    if (value.kind === 'input') grid = argument({ kind: 'input', input: value }, value);
    else {
      if (written.has(value.buffer))
        throw new UnsupportedError(
          'gpu: expected a state to be read after its scatter, got a read before it',
        );
      grid = constant([value], 'elements', value.shape);
    }
    grids.set(value, grid);
    return grid;
  };

  const scatter = ({ inputs: [state, rows, slots], output }: Step): Grid => {
    if (state.kind !== 'state') throw new Error('internal: scatter to a value that is no state');
    if (state.offset !== 0 || sizeOf(state.shape) !== state.buffer.length)
      throw new UnsupportedError(
        'gpu: scatter: expected a state that is all of its buffer, got a part of it',
      );
    if (states.some(({ value }) => value.buffer === state.buffer))
      throw new UnsupportedError('gpu: scatter: expected one scatter per state and plan, got two');
    let writer = writers.get(slots);
    if (writer === undefined) {
      writer = decoder.writerOf(emit, gridOf(slots));
      writers.set(slots, writer);
    }
    const initial = hasData(state) ? constant([state], 'elements', state.shape) : undefined;
    const source = gridOf(rows);
    const previous: Grid | undefined = inPlace
      ? undefined
      : { source: { kind: 'previous', index: calls.length }, shape: state.shape };
    const grid = decoder.scatter(emit, { rows: source, writer, initial, previous }, output);
    states.push({
      value: state,
      call: calls.length - 1,
      initial: initial === undefined ? null : initial.source.index,
    });
    return grid;
  };

  const products = fuse(plan);
  for (const step of plan.steps) {
    checkStep(plan, step);
    const { inputs, output } = step;
    if (step.op === 'scatter') {
      grids.set(output, scatter(step));
      continue;
    }
    const [source, index] = inputs;
    if (isEmbedding(step) && source.kind === 'constant' && index.kind === 'input') {
      grids.set(output, argument({ kind: 'rows', table: source, index }, output));
      continue;
    }
    const joined = products.get(step);
    if (joined !== undefined) {
      if (joined !== null) product(joined);
      continue;
    }
    if (step.op === 'linear') throw new Error('internal: a product that is not in the map');
    const template = TEMPLATES[step.op] as Template<typeof step.op>;
    grids.set(output, template(emit, inputs.map(gridOf), output, step.params));
  }

  const results = plan.outputs.map((value): Result => {
    let grid = gridOf(value);
    if (grid.source.kind !== 'call' || grid.left !== undefined) grid = general.copy(emit, grid);
    const { width, height } = gridSize(value.shape);
    const perExtent =
      value.extent === undefined || value.shape.length < 2
        ? null
        : { extent: value.extent, rows: sizeOf(value.shape.slice(1, -1)) };
    return { call: grid.source.index, columns: width, rows: height, perExtent };
  });
  const sizes = plan.steps.flatMap(({ inputs, output }) =>
    [output, ...inputs].flatMap(({ shape }) => shape),
  );
  return {
    calls: withOwnShapes(calls, states, [...writers.values()]),
    constants,
    arguments: sources,
    results,
    states,
    indexed: plan.steps.filter(({ op, inputs }) => {
      const at = INDEX_INPUTS[op];
      return at?.every((index) => ['input', 'constant'].includes(inputs[index].kind));
    }),
    loopLimit: Math.max(0, ...sizes) + 1,
  };
}

/**
 * Gives the buffer of every state a shape that no other call has: gpu.js lets calls of equal shape share a buffer, and a
 * shared one would not keep the state. The writers get as many columns as the tallest state has rows.
 */
function withOwnShapes(
  calls: readonly KernelCall[],
  states: Lowered['states'],
  writers: readonly Grid[],
): readonly KernelCall[] {
  const sized = [...calls];
  const ofStates = new Set(states.map(({ call }) => call));
  const taken = new Set(
    calls.filter((_, index) => !ofStates.has(index)).map(({ size }) => size.join()),
  );
  let tallest = 0;
  for (const { call } of states) {
    const [width, rows] = calls[call].size;
    let height = Math.max(2, rows);
    while (taken.has(`${width},${height}`)) height++;
    taken.add(`${width},${height}`);
    sized[call] = { ...calls[call], size: [width, height] };
    tallest = Math.max(tallest, height);
  }
  // One row: no state has that shape.
  const columns = Math.ceil(tallest / 4) * 4;
  for (const { source } of writers)
    sized[source.index] = { ...calls[source.index], size: [columns, 1] };
  return sized;
}

const bufferOf = (value: Value) => ('buffer' in value ? value.buffer : null);

const isEmbedding = ({ op, params }: Step) =>
  op === 'gather' && 'axis' in params && params.axis === 0;

const sameData = (a: readonly Constant[], b: readonly Constant[]) =>
  a.length === b.length &&
  a.every(({ buffer, offset, shape }, index) => {
    const other = b[index];
    return (
      buffer === other.buffer && offset === other.offset && shape.join() === other.shape.join()
    );
  });

/** Refuses what f32 storage cannot hold. */
function checkStep(plan: Plan, { op, inputs, output }: Step): void {
  if (op !== 'cast' || (output.dtype !== 'f16' && output.dtype !== 'bf16')) return;
  if (inputs[0].dtype === output.dtype) return;
  if (plan.steps.some((step) => step.inputs.includes(output)))
    throw new UnsupportedError(
      `gpu: cast to ${output.dtype}: expected a result that is only read, got one that a later step of the plan uses; ` +
        'every value is f32 inside a pipeline',
    );
}
