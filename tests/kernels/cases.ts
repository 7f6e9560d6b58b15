// One row per op x shape x dtype, with its tolerance: drives the conformance suite of every backend and the kernel
// benchmarks. Data are a function of the row, so every backend sees the same numbers.
import { isBlocked } from '../../src/kernels/blocks.ts';
import { fromFloat32 } from '../../src/kernels/dtype.ts';
import type { DType, OpName, TypedArray } from '../../src/kernels/plan.ts';
import { philox4x32 } from '../../src/tensor/random.ts';
import type { Eager } from '../../src/tensor/scope.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

export interface OpCase {
  readonly op: OpName;
  /** Unique; also the name of the benchmark. */
  readonly name: string;
  /** Largest |difference| to the reference; 0 where the result is exact in every backend. */
  readonly tolerance: number;
  run(ops: Eager, make: Maker): Tensor;
}

/** Makes inputs: the n-th tensor of a row has its own stream of numbers. */
export interface Maker {
  /** Uniform in (low, high). */
  uniform(shape: readonly number[], low?: number, high?: number, dtype?: DType): Tensor;
  /** Integers in [0, below). */
  integers(shape: readonly number[], below: number, dtype?: DType): Tensor;
  /** The given numbers. */
  numbers(values: readonly number[], shape: readonly number[], dtype?: DType): Tensor;
}

/** A maker for one row. */
export function makerFor(ops: Eager, name: string): Maker {
  let stream = 0;
  let key = 0;
  for (const letter of name) key = (Math.imul(key, 31) + letter.charCodeAt(0)) >>> 0;
  const words = new Uint32Array(4);
  const draw = (count: number, map: (unit: number) => number) => {
    stream += 1;
    return Float32Array.from({ length: count }, (_, index) => {
      philox4x32(words, index, stream, 0, 0, key, 7);
      return map((words[0] + 0.5) / 2 ** 32);
    });
  };
  const size = (shape: readonly number[]) => shape.reduce((product, extent) => product * extent, 1);
  const tensor = (data: Float32Array, shape: readonly number[], dtype: DType) =>
    ops.tensor(fromFloat32(data, dtype) as TypedArray, shape, dtype);
  return {
    uniform: (shape, low = -1, high = 1, dtype = 'f32') =>
      tensor(
        draw(size(shape), (unit) => low + (high - low) * unit),
        shape,
        dtype,
      ),
    integers: (shape, below, dtype = 'i32') =>
      tensor(
        draw(size(shape), (unit) => Math.floor(unit * below)),
        shape,
        dtype,
      ),
    numbers: (values, shape, dtype = 'f32') => tensor(Float32Array.from(values), shape, dtype),
  };
}

const row = (
  op: OpName,
  label: string,
  tolerance: number,
  run: (ops: Eager, make: Maker) => Tensor,
): OpCase => ({ op, name: `${op} ${label}`, tolerance, run });

const WEIGHT_DTYPES = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0'] as const;

/** Beside blocks a backend may quantise x too: to 16 bits beside q8_0, to 8 beside q4_0; errors add up as √inner. */
function toleranceOf(dtype: (typeof WEIGHT_DTYPES)[number], inner: number): number {
  if (dtype === 'q8_0') return 2e-5 + 2e-5 * Math.sqrt(inner);
  return dtype === 'q4_0' ? 4e-3 * Math.sqrt(inner) : 2e-5;
}

const linear = [
  [1, 1, 1],
  [1, 64, 48],
  [3, 7, 5],
  [5, 96, 33],
  [8, 256, 12],
  [17, 30, 65],
  [2, 2048, 9],
].flatMap(([rows, inner, outer]) =>
  WEIGHT_DTYPES.filter((dtype) => inner % 32 === 0 || !isBlocked(dtype)).map((dtype) =>
    row('linear', `${rows}x${inner}x${outer} ${dtype}`, toleranceOf(dtype, inner), (ops, make) =>
      ops.linear(make.uniform([rows, inner]), make.uniform([outer, inner], -0.5, 0.5, dtype)),
    ),
  ),
);

/** Heads, key heads, columns of a head, window. */
type AttentionShape = readonly [number, number, number, number];

/** Attention of rows that see visible[starts .. starts + counts) of a pool of slots. */
function attentionCase(
  label: string,
  [heads, kvHeads, headDim, window]: AttentionShape,
  sight: Readonly<Record<'visible' | 'starts' | 'counts', readonly number[]>>,
) {
  return row('attention', label, 2e-5, (ops, make) => {
    const indices = (values: readonly number[]) => make.numbers(values, [values.length], 'i32');
    return ops.attention(
      make.uniform([sight.starts.length, heads * headDim]),
      make.uniform([24, kvHeads * headDim]),
      make.uniform([24, kvHeads * headDim]),
      {
        visible: indices(sight.visible),
        starts: indices(sight.starts),
        counts: indices(sight.counts),
      },
      { heads, kvHeads, scale: 1 / Math.sqrt(headDim), window },
    );
  });
}

/** Rows of two sequences over a pool of slots, in no order: what paged attention has to get right. */
const PAGED = {
  visible: [
    ...[3, 1, 20],
    ...[3, 1, 20, 7],
    ...[3, 1, 20, 7, 23, 0, 2, 11, 5],
    ...[9],
    ...[9, 8, 4, 6, 22, 21],
  ],
  starts: [0, 3, 7, 16, 17],
  counts: [3, 4, 9, 1, 6],
};
/** Rows that see parts of one list: of one start and of others, to one end and to others, as blocks with a window do. */
const PARTS = {
  visible: [7, 2, 9, 11, 0, 5, 4, 10, 1, 3],
  starts: [0, 1, 3, 3, 3, 3, 0, 0, 4],
  counts: [4, 4, 5, 6, 7, 7, 10, 10, 1],
};

const decoder: readonly OpCase[] = [
  ...linear,
  row('linear', '4x32x24 with bias', 2e-5, (ops, make) =>
    ops.linear(make.uniform([4, 32]), make.uniform([24, 32]), make.uniform([24])),
  ),
  row('rmsNorm', '5x64', 1e-5, (ops, make) =>
    ops.rmsNorm(make.uniform([5, 64]), make.uniform([64]), 1e-5),
  ),
  row('rmsNorm', '3x4 heads of 8', 1e-5, (ops, make) =>
    ops.rmsNorm(make.uniform([3, 32]), make.uniform([8]), 1e-6),
  ),
  row('rope', '6x4 heads of 8', 1e-5, (ops, make) =>
    ops.rope(
      make.uniform([6, 32]),
      make.integers([6], 16),
      make.uniform([16, 4]),
      make.uniform([16, 4]),
      4,
    ),
  ),
  row('rope', '5x3 heads of 16, of which 6 turn', 1e-5, (ops, make) =>
    ops.rope(
      make.uniform([5, 48]),
      make.integers([5], 16),
      make.uniform([16, 3]),
      make.uniform([16, 3]),
      3,
      16,
    ),
  ),
  row('rope', '2x2 heads of 12, of which 8 turn', 1e-5, (ops, make) =>
    ops.rope(
      make.uniform([2, 24]),
      make.integers([2], 16),
      make.uniform([16, 4]),
      make.uniform([16, 4]),
      2,
      12,
    ),
  ),
  row('scatter', '3 rows to 7 slots', 0, (ops, make) =>
    ops.scatter(ops.state([7, 12]), make.uniform([3, 12]), make.numbers([5, 0, 2], [3], 'i32')),
  ),
  attentionCase('4 heads, 4 key heads', [4, 4, 8, 0], PAGED),
  attentionCase('6 heads, 2 key heads', [6, 2, 16, 0], PAGED),
  attentionCase('4 heads, 1 key head, window 3', [4, 1, 12, 3], PAGED),
  attentionCase('parts of one list', [4, 2, 8, 0], PARTS),
  row('siluMul', '5x33', 1e-5, (ops, make) =>
    ops.siluMul(make.uniform([5, 33], -8, 8), make.uniform([5, 33])),
  ),
];

/** Rows that go to some of the experts; shares from the logits of a router, and by hand. */
const mixture: readonly OpCase[] = [
  ...[true, false].flatMap((normalised) =>
    [1, 3, 8].map((count) =>
      row('route', `5x8 to ${count}${normalised ? ', normalised' : ''}`, 1e-6, (ops, make) =>
        ops.route(make.uniform([5, 8], -6, 6), { count, normalised }),
      ),
    ),
  ),
  row('route', 'takes the first of equals', 1e-6, (ops) =>
    ops.route(ops.tensor([2, 5, 5, 5, 1, 0, 0, 0, 0, 0], [2, 5]), { count: 2, normalised: true }),
  ),
  row('route', 'a row of far logits', 1e-6, (ops) =>
    ops.route(ops.tensor([-300, 400, -1000, 399], [1, 4]), { count: 3, normalised: true }),
  ),
  row('route', 'times a factor', 1e-6, (ops, make) =>
    ops.route(make.uniform([5, 8], -6, 6), { count: 3, normalised: false, factor: 2.5 }),
  ),
  ...[true, false].flatMap((normalised) =>
    [
      [1, 1, 3],
      [4, 2, 3],
      [3, 2, 8],
      [4, 4, 1],
    ].flatMap(([groups, groupsKept, count]) =>
      [true, false].map((isBiased) =>
        row(
          'route',
          `5x12 to ${count} by sigmoids, ${groupsKept} of ${groups} groups${isBiased ? ', biased' : ''}${normalised ? ', normalised' : ''}`,
          2e-6,
          (ops, make) =>
            ops.route(
              make.uniform([5, 12], -6, 6),
              { count, normalised, groups, groupsKept, scores: 'sigmoid', factor: 2.5 },
              isBiased ? make.uniform([12]) : undefined,
            ),
        ),
      ),
    ),
  ),
  row('route', 'sigmoids of far logits', 1e-6, (ops) =>
    ops.route(ops.tensor([-300, 400, -1000, 3, -300, -300, -1e9, -200], [2, 4]), {
      ...{ count: 3, normalised: true, scores: 'sigmoid' },
    }),
  ),
  ...WEIGHT_DTYPES.map((dtype) =>
    row('experts', `7x64, 3 of 6 experts of 32 ${dtype}`, toleranceOf(dtype, 64), (ops, make) =>
      ops.experts(
        make.uniform([7, 64]),
        ops.route(make.uniform([7, 6], -3, 3), { count: 3, normalised: true }),
        {
          gateUp: make.uniform([6, 64, 64], -0.5, 0.5, dtype),
          down: make.uniform([6, 64, 32], -0.5, 0.5, dtype),
        },
        { count: 3 },
      ),
    ),
  ),
  row('experts', '4x5, rows of 2, 1 and none of 3 experts of 3', 2e-5, (ops, make) =>
    ops.experts(
      make.uniform([4, 5]),
      ops.tensor([0.25, 0, 0.75, 0, 2, 0, 0, 0, 0, -1, 0.5, 0], [4, 3]),
      { gateUp: make.uniform([3, 6, 5]), down: make.uniform([3, 5, 3]) },
      { count: 2 },
    ),
  ),
];

const unary: readonly OpCase[] = (
  [
    ['neg', -2, 2],
    ['abs', -2, 2],
    ['sign', -2, 2],
    ['floor', -3, 3],
    ['ceil', -3, 3],
    ['square', -2, 2],
    ['sqrt', 0, 4],
    ['rsqrt', 0.1, 4],
    ['reciprocal', 0.5, 4],
    ['exp', -4, 2],
    ['log', 0.1, 4],
    ['sin', -3, 3],
    ['cos', -3, 3],
    ['tanh', -4, 4],
    ['sigmoid', -6, 6],
    ['relu', -2, 2],
    ['silu', -6, 6],
    ['gelu', -5, 5],
  ] as const
).map(([fn, low, high]) =>
  row('unary', `${fn} 7x9`, 1e-5, (ops, make) => ops[fn](make.uniform([7, 9], low, high))),
);

const broadcasts = [
  ['same shape', [4, 5], [4, 5]],
  ['a row', [4, 5], [5]],
  ['a column', [4, 5], [4, 1]],
  ['both ways', [3, 1, 5], [4, 1]],
  ['a scalar', [2, 3], []],
] as const;

const elementwise: readonly OpCase[] = [
  ...unary,
  row('unary', 'not 9', 0, (ops, make) => ops.not(make.integers([9], 2, 'bool'))),
  ...broadcasts.flatMap(([label, a, b]) => [
    row('binary', `add ${label}`, 1e-6, (ops, make) => ops.add(make.uniform(a), make.uniform(b))),
    row('binary', `div ${label}`, 1e-5, (ops, make) =>
      ops.div(make.uniform(a), make.uniform(b, 0.5, 2)),
    ),
    row('where', label, 0, (ops, make) =>
      ops.where(make.integers(a, 2, 'bool'), make.uniform(a), make.uniform(b)),
    ),
  ]),
  ...(['sub', 'mul', 'maximum', 'minimum'] as const).map((fn) =>
    row('binary', `${fn} 5x6`, 1e-6, (ops, make) =>
      ops[fn](make.uniform([5, 6]), make.uniform([5, 6])),
    ),
  ),
  row('binary', 'pow 5x6', 1e-5, (ops, make) =>
    ops.pow(make.uniform([5, 6], 0.2, 3), make.uniform([5, 6], -2, 2)),
  ),
  row('binary', 'add i32', 0, (ops, make) =>
    ops.add(make.integers([11], 1000), make.integers([11], 1000)),
  ),
  row('binary', 'div i32 truncates', 0, (ops, make) =>
    ops.div(make.numbers([7, -7, 9, 0], [4], 'i32'), make.numbers([2, 2, -4, 3], [4], 'i32')),
  ),
  ...(['eq', 'ne', 'lt', 'le', 'gt', 'ge'] as const).map((fn) =>
    row('compare', `${fn} 6x7`, 0, (ops, make) =>
      ops[fn](make.integers([6, 7], 4), make.integers([7], 4)),
    ),
  ),
  row('cast', 'f32 to i32 towards zero', 0, (ops) =>
    ops.cast(ops.tensor([1.7, -1.7, 0.2, 41], [4]), 'i32'),
  ),
  row('cast', 'f32 to i8 clamps', 0, (ops) => ops.cast(ops.tensor([1000, -1000, 12.9], [3]), 'i8')),
  row('cast', 'i32 to f32', 0, (ops, make) => ops.cast(make.integers([9], 1000), 'f32')),
  row('cast', 'f32 to bool', 0, (ops) => ops.cast(ops.tensor([0, 0.5, -2], [3]), 'bool')),
  row('cast', 'f32 to bf16', 0, (ops, make) => ops.cast(make.uniform([9]), 'bf16')),
  row('cast', 'f32 to f16', 0, (ops, make) => ops.cast(make.uniform([9]), 'f16')),
  row('cast', 'bf16 to f32', 0, (ops, make) => ops.cast(make.uniform([9], -4, 4, 'bf16'), 'f32')),
];

const movement: readonly OpCase[] = [
  ...(['sum', 'mean', 'max', 'min', 'argmax', 'argmin'] as const).flatMap((fn) =>
    [0, 1, 2].map((axis) =>
      row('reduce', `${fn} axis ${axis}`, fn.startsWith('arg') ? 0 : 1e-5, (ops, make) =>
        ops[fn](make.uniform([3, 4, 5]), axis),
      ),
    ),
  ),
  row('reduce', 'argmax takes the first of equals', 0, (ops) =>
    ops.argmax(ops.tensor([1, 3, 3, 2, 3], [5])),
  ),
  ...(['sum', 'mean', 'max', 'min', 'argmax', 'argmin'] as const).flatMap((fn) => [
    row('reduce', `${fn} of long rows`, fn.startsWith('arg') ? 0 : 2e-4, (ops, make) =>
      ops[fn](make.uniform([3, 5001]), 1),
    ),
    row('reduce', `${fn} of one long row`, fn.startsWith('arg') ? 0 : 2e-4, (ops, make) =>
      ops[fn](make.uniform([4096]), 0),
    ),
  ]),
  row('reduce', 'argmax of a long row takes the first of equals', 0, (ops) =>
    ops.argmax(
      ops.tensor(
        Float32Array.from({ length: 3000 }, (_, i) => (i % 700 === 699 ? 2 : -i)),
        [3000],
      ),
    ),
  ),
  row('softmax', 'long rows', 1e-6, (ops, make) => ops.softmax(make.uniform([2, 5001], -9, 9))),
  row('softmax', 'log of long rows', 2e-5, (ops, make) =>
    ops.logSoftmax(make.uniform([2, 5001], -9, 9)),
  ),
  row('softmax', '5x17', 1e-6, (ops, make) => ops.softmax(make.uniform([5, 17], -9, 9))),
  row('softmax', 'log 5x17', 1e-5, (ops, make) => ops.logSoftmax(make.uniform([5, 17], -9, 9))),
  row('matmul', '7x9x5', 1e-5, (ops, make) =>
    ops.matmul(make.uniform([7, 9]), make.uniform([9, 5])),
  ),
  row('matmul', '2x3 batches of 4x6x3', 1e-5, (ops, make) =>
    ops.matmul(make.uniform([2, 3, 4, 6]), make.uniform([2, 3, 6, 3])),
  ),
  row('gather', 'rows f32', 0, (ops, make) =>
    ops.gather(make.uniform([9, 6]), make.numbers([8, 0, 3, 3], [4], 'i32')),
  ),
  row('gather', 'rows bf16', 0, (ops, make) =>
    ops.gather(make.uniform([9, 6], -1, 1, 'bf16'), make.numbers([8, 0, 3], [3], 'i32')),
  ),
  row('gather', 'rows f16', 0, (ops, make) =>
    ops.gather(make.uniform([9, 6], -1, 1, 'f16'), make.numbers([8, 0, 3], [3], 'i32')),
  ),
  ...(['q8_0', 'q4_0'] as const).map((dtype) =>
    row('gather', `rows ${dtype}`, 1e-7, (ops, make) =>
      ops.gather(make.uniform([9, 64], -1, 1, dtype), make.numbers([8, 0, 3], [3], 'i32')),
    ),
  ),
  row('gather', 'axis 1', 0, (ops, make) =>
    ops.gather(make.uniform([3, 5, 2]), make.numbers([4, 4, 1], [3], 'i32'), 1),
  ),
  row('transpose', '4x7', 0, (ops, make) => ops.transpose(make.uniform([4, 7]))),
  row('transpose', '2x3x4 to 4x2x3', 0, (ops, make) =>
    ops.transpose(make.uniform([2, 3, 4]), [2, 0, 1]),
  ),
  row('concat', 'axis 0', 0, (ops, make) =>
    ops.concat([make.uniform([2, 3]), make.uniform([4, 3])]),
  ),
  row('concat', 'three along axis 1', 0, (ops, make) =>
    ops.concat([make.uniform([2, 3]), make.uniform([2, 1]), make.uniform([2, 5])], 1),
  ),
  row('slice', 'axis 1', 0, (ops, make) => ops.slice(make.uniform([3, 8, 2]), 1, 2, 7)),
];

/** Every row. */
export const opCases: readonly OpCase[] = [...decoder, ...mixture, ...elementwise, ...movement];
