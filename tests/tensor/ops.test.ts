// The checks of the vocabulary: every op says what it expected and what it got; and what a few ops mean.
import { describe, expect, it } from 'vitest';
import { cpu } from '../../src/kernels/cpu/index.ts';
import { reference } from '../../src/kernels/reference/index.ts';
import { record } from '../../src/tensor/record.ts';
import { type Eager, scope } from '../../src/tensor/scope.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

type Wrong = (ops: Eager, x: Tensor, i: Tensor) => unknown;

// x is f32 [2, 3], i is i32 [2].
const WRONG: readonly [string, Wrong, string][] = [
  [
    'linear',
    (ops, x) => ops.linear(x, ops.zeros([4, 2])),
    'linear: expected x f32 [T, I], weight f32, f16, bf16, or with whole blocks a row q8_0 or q4_0 [O, I], bias f32 [O], got f32 [2, 3], f32 [4, 2]',
  ],
  [
    'linear bias',
    (ops, x) => ops.linear(x, ops.zeros([4, 3]), ops.zeros([3])),
    'bias f32 [O], got f32 [2, 3], f32 [4, 3], f32 [3]',
  ],
  [
    'rmsNorm',
    (ops, x) => ops.rmsNorm(x, ops.zeros([2]), 1e-5),
    'rmsNorm: expected x f32 [T, N*D], gain f32 [D], got f32 [2, 3], f32 [2]',
  ],
  [
    'rope',
    (ops, x, i) => ops.rope(x, i, ops.zeros([9, 1]), ops.zeros([9, 1]), 1),
    'rope: expected x f32 [T, 1*2], positions i32 [T], cos and sin f32 [P, R/2], R up to 2, got f32 [2, 3]',
  ],
  [
    'rope with more columns that turn than there are',
    (ops, x, i) => ops.rope(x, i, ops.zeros([9, 2]), ops.zeros([9, 2]), 1, 3),
    'rope: expected x f32 [T, 1*3]',
  ],
  ['scatter', (ops, x, i) => ops.scatter(x, x, i), 'scatter: expected state [S, W]'],
  [
    'attention',
    (ops, x, i) =>
      ops.attention(
        x,
        x,
        x,
        { visible: i, starts: i, counts: i },
        { heads: 3, kvHeads: 2, scale: 1, window: 0 },
      ),
    'attention: expected',
  ],
  [
    'siluMul',
    (ops, x) => ops.siluMul(x, ops.zeros([2, 2])),
    'siluMul: expected two f32 of one shape, got f32 [2, 3], f32 [2, 2]',
  ],
  ['route', (ops, _, i) => ops.route(i, { count: 1, normalised: true }), 'route: expected logits'],
  [
    'route to more than there are',
    (ops, x) => ops.route(x, { count: 4, normalised: true }),
    'route: expected a count from 1 to 3, got 4',
  ],
  [
    'route with a bias for others',
    (ops, x) => ops.route(x, { count: 1, normalised: true, scores: 'sigmoid' }, ops.zeros([2])),
    'route: expected logits f32 [T, E], bias f32 [E], got f32 [2, 3], f32 [2]',
  ],
  [
    'route in unequal groups',
    (ops, x) => ops.route(x, { count: 1, normalised: true, scores: 'sigmoid', groups: 2 }),
    'route: expected groups of equal size, more than 1, of 3, got 2',
  ],
  [
    'route in groups of one',
    (ops, x) => ops.route(x, { count: 1, normalised: true, scores: 'sigmoid', groups: 3 }),
    'route: expected groups of equal size, more than 1, of 3, got 3',
  ],
  [
    'route to more groups than there are',
    (ops, x) => ops.route(x, { count: 1, normalised: true, scores: 'sigmoid', groupsKept: 2 }),
    'route: expected groupsKept from 1 to 1, got 2',
  ],
  [
    'route to more than the groups have',
    (ops) =>
      ops.route(ops.zeros([1, 8]), {
        ...{ count: 5, normalised: true, scores: 'sigmoid', groups: 4, groupsKept: 2 },
      }),
    'route: expected a count from 1 to 4, got 5',
  ],
  [
    'route a softmax with a bias',
    (ops, x) => ops.route(x, { count: 1, normalised: true }, ops.zeros([3])),
    'route: expected scores "sigmoid" with a bias or groups, got "softmax"',
  ],
  [
    'route times nothing',
    (ops, x) => ops.route(x, { count: 1, normalised: true, factor: 0 }),
    'route: expected a positive factor, got 0',
  ],
  [
    'experts',
    (ops, x) =>
      ops.experts(
        x,
        ops.zeros([2, 4]),
        { gateUp: ops.zeros([4, 5, 3]), down: ops.zeros([4, 3, 2]) },
        { count: 1 },
      ),
    'got f32 [2, 3], f32 [2, 4], f32 [4, 5, 3], f32 [4, 3, 2]',
  ],
  ...[0, 1.5, 5].map((count): (typeof WRONG)[number] => [
    `experts count ${count}`,
    (ops, x) =>
      ops.experts(
        x,
        ops.zeros([2, 4]),
        { gateUp: ops.zeros([4, 4, 3]), down: ops.zeros([4, 3, 2]) },
        { count },
      ),
    `experts: expected a count from 1 to 4, got ${count}`,
  ]),
  ['gather', (ops, x) => ops.gather(x, x), 'gather: expected index i32 [N], got f32 [2, 3]'],
  [
    'gather axis',
    (ops, x, i) => ops.gather(x, i, 2),
    'gather: expected an axis from -2 to 1, got 2',
  ],
  ['unary', (ops, _, i) => ops.exp(i), 'exp: expected f32, got i32 [2]'],
  ['not', (ops, x) => ops.not(x), 'not: expected bool, got f32 [2, 3]'],
  [
    'binary dtypes',
    (ops, x, i) => ops.add(x, i),
    'add: expected two f32 or two i32, got f32 [2, 3], i32 [2]',
  ],
  [
    'binary shapes',
    (ops, x) => ops.add(x, ops.zeros([2])),
    'add: expected shapes that broadcast, got [2, 3] and [2]',
  ],
  ['compare', (ops, x, i) => ops.lt(x, i), 'lt: expected two tensors of one dtype'],
  ['where', (ops, x) => ops.where(x, x, x), 'where: expected condition bool'],
  [
    'reduce',
    (ops) => ops.max(ops.zeros([2, 0])),
    'max: expected an axis with elements, got f32 [2, 0]',
  ],
  ['softmax', (ops, _, i) => ops.softmax(i), 'softmax: expected f32 [..., N], got i32 [2]'],
  [
    'matmul',
    (ops, x) => ops.matmul(x, x),
    'matmul: expected a f32 [..., M, I], b f32 [..., I, N], got f32 [2, 3], f32 [2, 3]',
  ],
  [
    'transpose',
    (ops, x) => ops.transpose(x, [0, 0]),
    'transpose: expected a permutation of 2 axes, got [0, 0]',
  ],
  [
    'concat',
    (ops, x, i) => ops.concat([x, i]),
    'concat: expected tensors of one dtype that differ only in axis 0',
  ],
  ['concat of nothing', (ops) => ops.concat([]), 'concat: expected at least one tensor, got none'],
  [
    'slice',
    (ops, x) => ops.slice(x, 1, 2, 4),
    'slice: expected 0 <= from <= to <= 3 along a fixed axis, got 2 .. 4 along axis 1',
  ],
];

describe('the vocabulary', () => {
  it.each(WRONG)('refuses a wrong %s', async (_, wrong, message) => {
    await scope(cpu(), (ops) => {
      let error: unknown;
      try {
        wrong(ops, ops.zeros([2, 3]), ops.zeros([2], 'i32'));
      } catch (caught) {
        error = caught;
      }
      expect(error).toMatchObject({ name: 'ShapeError' });
      expect((error as Error).message).toContain(message);
    });
  });

  it.each([
    ['reference', reference],
    ['cpu', cpu],
  ])('means on %s what numpy means', async (_, make) => {
    await scope(make(), async (ops) => {
      const x = ops.tensor([1, -2, 3, 4, 5, -6], [2, 3]);
      const read = async (tensor: Tensor) => [tensor.shape, [...(await tensor.read())]];
      expect(await read(ops.transpose(x))).toEqual([
        [3, 2],
        [1, 4, -2, 5, 3, -6],
      ]);
      expect(await read(ops.add(x, ops.tensor([10, 20, 30], [3])))).toEqual([
        [2, 3],
        [11, 18, 33, 14, 25, 24],
      ]);
      expect(await read(ops.matmul(x, ops.transpose(x)))).toEqual([
        [2, 2],
        [14, -24, -24, 77],
      ]);
      expect(await read(ops.argmax(x))).toEqual([[2], [2, 1]]);
      expect(await read(ops.sum(x, 0))).toEqual([[3], [5, 3, -3]]);
      expect(await read(ops.concat([x, x], 1))).toEqual([
        [2, 6],
        [1, -2, 3, 1, -2, 3, 4, 5, -6, 4, 5, -6],
      ]);
      expect(await read(ops.slice(x, -1, 1, 3))).toEqual([
        [2, 2],
        [-2, 3, 5, -6],
      ]);
      expect(await read(ops.where(ops.gt(x, ops.zeros([1])), x, ops.zeros([1])))).toEqual([
        [2, 3],
        [1, 0, 3, 4, 5, 0],
      ]);
      expect(await read(ops.gather(x, ops.tensor(Int32Array.of(1, 1), [2]), 1))).toEqual([
        [2, 2],
        [-2, -2, 5, 5],
      ]);
      expect(await read(ops.cast(ops.mul(x, ops.tensor([100], [1])), 'i8'))).toEqual([
        [2, 3],
        [100, -128, 127, 127, 127, -128],
      ]);
      const [, probs] = await read(ops.softmax(ops.tensor([0, Math.log(3)], [2])));
      expect(probs).toEqual([0.25, 0.75]);
    });
  });
});

describe('record', () => {
  it('makes a plan that runs for any number of rows', async () => {
    const backend = cpu();
    const plan = record((ops) => [
      ops.neg(ops.add(ops.input('x', 'f32', [4, 2], 'T'), ops.input('y', 'f32', [2]))),
    ]);
    expect(plan.steps.map(({ op }) => op)).toEqual(['binary', 'unary']);
    expect(plan.outputs[0]).toMatchObject({ kind: 'scratch', shape: [4, 2], extent: 'T' });
    const program = backend.prepare(plan);
    for (const rows of [1, 4, 2]) {
      const x = Float32Array.from({ length: 2 * rows }, (_, index) => index);
      backend.run(program, { extents: { T: rows, K: 0 }, inputs: { x, y: Float32Array.of(1, 2) } });
      const expected = x.map((value, index) => -(value + 1 + (index % 2)));
      expect(await backend.read(program.outputs[0], 0, 2 * rows)).toEqual(expected);
    }
  });

  it('has nothing to read and no views, and says so', async () => {
    let recorded: Tensor | undefined;
    record((ops) => {
      const x = ops.input('x', 'f32', [4, 2], 'T');
      expect(() => x.rows(0, 1)).toThrow(
        'expected a tensor with data, got a recorded one; use slice',
      );
      recorded = x;
      expect(() => ops.slice(x, 0, 0, 1)).toThrow('slice: expected');
      expect(() => ops.sum(x, 0)).toThrow('sum: expected an axis other than the rows of the call');
      return [x];
    });
    await expect(recorded?.read()).rejects.toThrow('read: expected a tensor with data');
  });
});
