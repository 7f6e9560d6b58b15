// A mixture of experts: which ones a row goes to, worked out by hand, and that a row has the same bits in any company.
import { afterAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/kernels/backend.ts';
import { cpu } from '../../src/kernels/cpu/index.ts';
import { gpu } from '../../src/kernels/gpu/index.ts';
import type { DType } from '../../src/kernels/plan.ts';
import { reference } from '../../src/kernels/reference/index.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
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
