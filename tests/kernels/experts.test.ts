// A mixture of experts: which ones a row goes to, worked out by hand, and that a row has the same bits in any company.
import { afterAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/kernels/backend.ts';
import { cpu } from '../../src/kernels/cpu/index.ts';
import { gpu } from '../../src/kernels/gpu/index.ts';
import type { DType } from '../../src/kernels/plan.ts';
import { reference } from '../../src/kernels/reference/index.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { record } from '../../src/tensor/record.ts';
import { type Eager, scope } from '../../src/tensor/scope.ts';
import { makerFor } from './cases.ts';

const DTYPES = ['f32', 'bf16', 'f16', 'q8_0', 'q4_0'] as const;
const BACKENDS: readonly [string, Backend][] = [
  ['reference', reference()],
  ['cpu', cpu()],
  ['wasm', wasm({ threads: 2 })],
  ['gpu', await gpu({ mode: 'webasm' })],
];

const ROWS = 9;
const WIDTH = 64;

/** Rows [from, to) of a mixture. */
function mixture(ops: Eager, dtype: DType, from: number, to: number) {
  const make = makerFor(ops, `experts ${dtype}`);
  const x = make.uniform([ROWS, WIDTH]).rows(from, to);
  const logits = make.uniform([ROWS, 5], -2, 2).rows(from, to);
  const weights = {
    gateUp: make.uniform([5, 64, WIDTH], -0.5, 0.5, dtype),
    down: make.uniform([5, WIDTH, 32], -0.5, 0.5, dtype),
  };
  const shares = ops.route(logits, { count: 3, normalised: true });
  return ops.experts(x, shares, weights, { count: 3 }).read();
}

/** Which experts the rows of some logits have a share of. */
const chosenBy = (backend: Backend, logits: number[][], count: number) =>
  scope(backend, async (ops) => {
    const [{ length }] = logits;
    const routed = ops.route(ops.tensor(logits.flat(), [logits.length, length]), {
      count,
      normalised: true,
    });
    const shares = [...(await routed.read())];
    return logits.map((_, row) => shares.slice(row * length, (row + 1) * length));
  });

describe.each(BACKENDS)('experts on %s', (_, backend) => {
  afterAll(() => backend.dispose());

  it('are the first of equals', async () => {
    const [all, two, behind] = await chosenBy(
      backend,
      [
        [1, 1, 1, 1],
        [0, 3, 0, 3],
        [2, 0, 0, 0],
      ],
      2,
    );
    expect(all).toEqual([0.5, 0.5, 0, 0]);
    expect(two).toEqual([0, 0.5, 0, 0.5]);
    expect(behind.map((share) => share > 0)).toEqual([true, true, false, false]);
    const [, , three] = await chosenBy(backend, [[0], [0], [5]], 1);
    expect(three).toEqual([1]);
  });

  it('have shares of all that there are, or of those chosen', async () => {
    const logits = [0, Math.log(2), Math.log(5)];
    const shares = (normalised: boolean) =>
      scope(backend, async (ops) =>
        ops.route(ops.tensor(logits, [1, 3]), { count: 2, normalised }).read(),
      );
    const [none, second, third] = await shares(false);
    expect(none).toBe(0);
    expect(second).toBeCloseTo(2 / 8, 6);
    expect(third).toBeCloseTo(5 / 8, 6);
    const [, two, five] = await shares(true);
    expect(two).toBeCloseTo(2 / 7, 6);
    expect(five).toBeCloseTo(5 / 7, 6);
  });

  it('are chosen with a bias that their shares do not have', async () => {
    const found = await scope(backend, async (ops) => {
      const logits = ops.tensor([2, 1, 0, -1], [1, 4]);
      const options = { count: 2, normalised: false, scores: 'sigmoid', factor: 2 } as const;
      return ops.route(logits, options, ops.tensor([0, -1, 0, 1], [4])).read();
    });
    const share = (logit: number) => 2 / (1 + Math.exp(-logit));
    const expected = [share(2), 0, 0, share(-1)];
    for (const [e, value] of expected.entries()) expect(found[e]).toBeCloseTo(value, 6);
  });

  // Eight experts, in four groups of two; their sums with the biases.
  it.each<[string, number[], number[], number]>([
    ['the best one is in a group that is not kept', [0.9, 0, 0.5, 0.5, 0.6, 0.6, 0, 0], [4, 5], 2],
    ['equal sums keep the first groups', [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], [0, 1], 2],
    [
      'equal sums after a larger one keep the first',
      [0.25, 0.5, 0, 0.75, 0.5, 0.25, 1, 1],
      [6, 7],
      2,
    ],
    ['the next best of those is in', [0.25, 0.5, 0, 0.75, 0.5, 0.25, 1, 1], [1, 6, 7], 3],
    ['a kept group may have none', [1, 0.75, 0.5, 0.5, 0, 0, 0, 0], [0, 1], 2],
  ])('come from the best groups: %s', async (_, worth, chosen, count) => {
    const found = await scope(backend, async (ops) => {
      // All scores are 1 / 2, so that what they are worth is in the biases, exactly.
      const logits = ops.zeros([2, 8]);
      const bias = ops.tensor(
        worth.map((value) => value - 0.5),
        [8],
      );
      const groups = { groups: 4, groupsKept: 2, scores: 'sigmoid' } as const;
      return ops.route(logits, { count, normalised: true, ...groups }, bias).read();
    });
    const expected = worth.map((_, e) => (chosen.includes(e) ? 1 / count : 0));
    for (const [i, value] of [...expected, ...expected].entries())
      expect(found[i]).toBeCloseTo(value, 6);
  });

  it('come from the first of groups whose sums are equal in f32', async () => {
    const found = await scope(backend, async (ops) => {
      const bias = ops.tensor([0.5, 2 ** -25 - 0.5, 0.5, 2 ** -24 - 0.5], [4]);
      const groups = { groups: 2, groupsKept: 1, scores: 'sigmoid' } as const;
      return ops.route(ops.zeros([1, 4]), { count: 1, normalised: false, ...groups }, bias).read();
    });
    expect([...found]).toEqual([0.5, 0, 0, 0]);
  });

  it('tie where sigmoids of f32 do', async () => {
    const found = await scope(backend, async (ops) => {
      const options = { count: 1, normalised: false, scores: 'sigmoid' } as const;
      return ops.route(ops.tensor([-5, 30, 40, 50], [1, 4]), options).read();
    });
    expect([...found]).toEqual([0, 1, 0, 0]);
  });

  it('of groups have the same shares alone and among others', async () => {
    const run = (from: number, to: number) =>
      scope(backend, async (ops) => {
        const make = makerFor(ops, 'routes of groups');
        const logits = make.uniform([9, 12], -3, 3).rows(from, to);
        const options = { count: 4, normalised: true, factor: 2.5, groups: 4, groupsKept: 2 };
        return ops.route(logits, { ...options, scores: 'sigmoid' }, make.uniform([12])).read();
      });
    const all = await run(0, 9);
    for (const [from, to] of [
      [0, 1],
      [3, 7],
      [8, 9],
    ])
      expect(await run(from, to)).toEqual(all.slice(from * 12, to * 12));
  });

  it('do nothing to a row that has no share of them, whatever they hold', async () => {
    const found = await scope(backend, async (ops) => {
      const gateUp = ops.tensor([1, 1, Number.NaN, Number.NaN], [2, 2, 1]);
      const down = ops.tensor([1, Number.NaN], [2, 1, 1]);
      const shares = ops.tensor([1, 0, 0, 0], [2, 2]);
      return ops.experts(ops.tensor([2, 3], [2, 1]), shares, { gateUp, down }, { count: 1 }).read();
    });
    expect(found[0]).toBeCloseTo(4 / (1 + Math.exp(-2)), 5);
    expect(found[1]).toBe(0);
  });

  it('have the same sums in every run of a plan', async () => {
    const runs = await scope(backend, async (ops) => {
      const make = makerFor(ops, 'experts again');
      const shares = make.uniform([2, 3]);
      const weights = { gateUp: make.uniform([3, 8, 6]), down: make.uniform([3, 6, 4]) };
      const plan = record((steps) => {
        const y = steps.experts(steps.input('x', 'f32', [2, 6]), shares, weights, { count: 3 });
        return [steps.add(y, y)];
      });
      const program = backend.prepare(plan);
      const run = () => {
        const x = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i));
        backend.run(program, { extents: { T: 0, K: 0 }, inputs: { x } });
        return backend.read(program.outputs[0]);
      };
      const both = [await run(), await run()];
      program.dispose();
      return both;
    });
    expect(runs[0].some((value) => value !== 0)).toBe(true);
    expect(runs[1]).toEqual(runs[0]);
  });

  it.each(DTYPES)('give a row of %s the same bits alone and among others', async (dtype) => {
    const [rows, width] = [ROWS, WIDTH];
    const run = (from: number, to: number) =>
      scope(backend, (ops) => mixture(ops, dtype, from, to));
    const all = await run(0, rows);
    expect(all.every(Number.isFinite)).toBe(true);
    for (const count of [1, 2, 4, 5])
      for (const from of [0, 3, rows - count])
        expect(await run(from, from + count)).toEqual(
          all.slice(from * width, (from + count) * width),
        );
  });
});

it.each(DTYPES)('experts of %s have the same bits on any number of threads', async (dtype) => {
  const bits = await Promise.all(
    [1, 2, 3].map(async (threads) => {
      using backend = wasm({ threads });
      return await scope(backend, (ops) => mixture(ops, dtype, 0, ROWS));
    }),
  );
  expect(bits[1]).toEqual(bits[0]);
  expect(bits[2]).toEqual(bits[0]);
});
