// Kernels one at a time, over the shapes of real models; `--cases` times the table of op cases that the conformance
// suite checks. Naive loops are timed in turn with the 2048x2048 product, as the bar for the cpu backend.
import type { Backend, Program } from '../src/kernels/backend.ts';
import { BLOCK } from '../src/kernels/blocks.ts';
import { bytesPerElement, fromFloat32 } from '../src/kernels/dtype.ts';
import { UnsupportedError } from '../src/kernels/errors.ts';
import type { TypedArray } from '../src/kernels/plan.ts';
import { type Recorder, record } from '../src/tensor/record.ts';
import { scope } from '../src/tensor/scope.ts';
import { sizeOf } from '../src/tensor/shape.ts';
import { Tensor } from '../src/tensor/tensor.ts';
import { makerFor, opCases } from '../tests/kernels/cases.ts';
import {
  type BenchOptions,
  digits,
  measure,
  printJson,
  printTable,
  spread,
  type Task,
} from './measure.ts';

/** Rows x outputs x inputs of a linear layer, and where it comes from. */
const LINEAR_SHAPES = [
  { name: 'TinyLlama q', outer: 2048, inner: 2048 },
  { name: 'TinyLlama gate', outer: 5632, inner: 2048 },
  { name: 'TinyLlama down', outer: 2048, inner: 5632 },
  { name: 'Llama-3.2-1B head, 1/8', outer: 16_032, inner: 2048 },
  { name: 'embedded gate', outer: 688, inner: 256 },
];
const SMALL_SHAPES = [{ name: 'small', outer: 64, inner: 64 }];
const ROWS = [1, 4, 16];

interface Kernel extends Task {
  readonly bytes: number;
  readonly flops: number;
}

/** Deterministic values in (-1, 1), others for another seed; quality does not matter for time. */
export function filler(length: number, seed = 1): Float32Array {
  const data = new Float32Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    data[i] = state / 2 ** 31;
  }
  return data;
}

/** The bench. */
export async function kernels(backend: Backend, options: BenchOptions): Promise<void> {
  if (options.cases) return cases(backend, options);
  const chosen = (name: string) => name.includes(options.filter);
  const results: Record<string, unknown> = {};
  const rows: string[][] = [['kernel', 'ms', 'GB/s', 'GFLOP/s', 'against naive']];
  for (const shape of options.smoke ? SMALL_SHAPES : LINEAR_SHAPES) {
    const tasks = [
      ...ROWS.map((count) => linear(backend, shape, count, options)),
      ...(await others(backend, shape, options)),
    ];
    const run = tasks.filter(({ name }) => chosen(name));
    if (run.length === 0) continue;
    const isBar = shape.outer === shape.inner || options.smoke;
    const naive = isBar ? [naiveLinear(shape)] : [];
    const timings = await measure([...naive, ...run], {
      rounds: options.smoke ? 1 : (options.rounds ?? 15),
    });
    for (const { name, bytes, flops } of [...naive, ...run]) {
      const timing = timings.get(name)!;
      const seconds = timing.median / 1000;
      const slower =
        isBar && name.endsWith(' 1 row')
          ? timings.get(naive[0].name)!.median / timing.median
          : undefined;
      rows.push([
        name,
        spread(timing),
        digits(bytes / seconds / 1e9),
        digits(flops / seconds / 1e9),
        slower ? `${digits(slower)}x` : '',
      ]);
      results[name] = { ...timing, bytes, flops, ...(slower && { timesNaive: slower }) };
    }
  }
  printTable(rows);
  printJson('kernels', options, results);
}

type Shape = (typeof LINEAR_SHAPES)[number];

function linear(
  backend: Backend,
  { name, outer, inner }: Shape,
  count: number,
  { dtype }: BenchOptions,
): Kernel {
  const weight = constant(
    backend,
    fromFloat32(filler(outer * inner), dtype),
    [outer, inner],
    dtype,
  );
  const task = planTask(
    backend,
    (ops) => [ops.linear(ops.input('x', 'f32', [count, inner], 'T'), weight)],
    {
      x: filler(count * inner),
      rows: count,
    },
  );
  return {
    name: `linear ${name} ${dtype}, ${count} row${count > 1 ? 's' : ''}`,
    bytes: outer * inner * bytesPerElement[dtype],
    flops: 2 * outer * inner * count,
    run: task,
  };
}

/** The small ops of a decoder layer at the width of the shape, four rows each. */
async function others(
  backend: Backend,
  { name, outer, inner }: Shape,
  options: BenchOptions,
): Promise<Kernel[]> {
  if (outer !== inner && !options.smoke) return [];
  const rows = 4;
  const [heads, kvHeads, headDim] = options.smoke ? [3, 1, 16] : [32, 4, 64];
  const width = heads * headDim;
  const slots = options.smoke ? 32 : 512;
  const gain = constant(backend, filler(width), [width], 'f32');
  const state = (columns: number) => {
    const buffer = backend.alloc('f32', slots * columns);
    return new Tensor(
      { kind: 'state', dtype: 'f32', shape: [slots, columns], buffer, offset: 0 },
      backend,
    );
  };
  const [keys, values] = [state(kvHeads * headDim), state(kvHeads * headDim)];
  const visible = Int32Array.from({ length: slots }, (_, index) => index);
  const starts = new Int32Array(rows);
  const counts = new Int32Array(rows).fill(slots);
  const x = filler(rows * width);
  const at = (op: string) => `${op} ${name}, ${rows} rows`;
  return [
    {
      name: at('rmsNorm'),
      bytes: 8 * rows * width,
      flops: 4 * rows * width,
      run: planTask(
        backend,
        (ops) => [ops.rmsNorm(ops.input('x', 'f32', [rows, width], 'T'), gain, 1e-5)],
        { x, rows },
      ),
    },
    {
      name: at('siluMul'),
      bytes: 12 * rows * width,
      flops: 5 * rows * width,
      run: planTask(
        backend,
        (ops) => {
          const input = ops.input('x', 'f32', [rows, width], 'T');
          return [ops.siluMul(input, input)];
        },
        { x, rows },
      ),
    },
    {
      name: `attention ${name}, ${rows} rows over ${slots}`,
      bytes: 8 * slots * kvHeads * headDim,
      flops: 4 * rows * slots * width,
      run: planTask(
        backend,
        (ops) => [
          ops.attention(
            ops.input('x', 'f32', [rows, width], 'T'),
            keys,
            values,
            {
              visible: ops.input('visible', 'i32', [slots]),
              starts: ops.input('starts', 'i32', [rows], 'T'),
              counts: ops.input('counts', 'i32', [rows], 'T'),
            },
            { heads, kvHeads, scale: 1 / Math.sqrt(headDim), window: 0 },
          ),
        ],
        { x, rows, more: { visible, starts, counts } },
      ),
    },
  ];
}

/** Two loops over typed arrays, as anybody would write them first. */
function naiveLinear({ name, outer, inner }: Shape): Kernel {
  const weight = filler(outer * inner);
  const x = filler(inner);
  const y = new Float32Array(outer);
  return {
    name: `naive loops ${name} f32, 1 row`,
    bytes: 4 * outer * inner,
    flops: 2 * outer * inner,
    async run() {
      for (let o = 0; o < outer; o++) {
        let sum = 0;
        for (let i = 0; i < inner; i++) sum += x[i] * weight[o * inner + i];
        y[o] = sum;
      }
      return y[0];
    },
  };
}

function takesBlocks(backend: Backend): boolean {
  try {
    backend.free(backend.alloc('q8_0', BLOCK, BLOCK));
    return true;
  } catch (error) {
    if (error instanceof UnsupportedError) return false;
    throw error;
  }
}

/** Every row of the table of op cases: the whole call, shapes checked and one element read back. */
async function cases(backend: Backend, options: BenchOptions): Promise<void> {
  const blocks = takesBlocks(backend);
  if (!blocks) console.log('without q8_0 and q4_0, which this backend refuses');
  const tasks = opCases
    .filter(({ name }) => name.includes(options.filter) && (blocks || !/q[48]_0/.test(name)))
    .map((row) => ({
      name: row.name,
      run: () => scope(backend, (ops) => row.run(ops, makerFor(ops, row.name)).read()),
    }));
  const timings = await measure(tasks, { rounds: options.smoke ? 1 : (options.rounds ?? 15) });
  printTable([['case', 'ms'], ...[...timings].map(([name, timing]) => [name, spread(timing)])]);
  printJson('cases', options, Object.fromEntries(timings));
}

function constant(
  backend: Backend,
  data: TypedArray,
  shape: readonly number[],
  dtype: BenchOptions['dtype'],
): Tensor {
  const buffer = backend.alloc(dtype, sizeOf(shape), shape.at(-1));
  backend.write(buffer, data);
  return new Tensor({ kind: 'constant', dtype, shape, buffer, offset: 0 }, backend);
}

/** A call that runs a recorded plan and waits for its result; the first one prepares it, as tasks may be filtered out. */
function planTask(
  backend: Backend,
  body: (ops: Recorder) => readonly Tensor[],
  {
    x,
    rows,
    more = {},
  }: {
    readonly x: Float32Array;
    readonly rows: number;
    readonly more?: Readonly<Record<string, Int32Array>>;
  },
): () => Promise<unknown> {
  const call = { extents: { T: rows, K: 0 }, inputs: { x, ...more } };
  let program: Program | undefined;
  return () => {
    program ??= backend.prepare(record(body));
    backend.run(program, call);
    return backend.read(program.outputs[0], 0, 1);
  };
}
