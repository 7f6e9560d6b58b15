// The suite every backend passes: each row of the case table agrees with the reference within the row's tolerance, and
// rows of a linear call are the same bits alone and together. A deviation is a skip entry with a reason.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/kernels/backend.ts';
import { isBlocked } from '../../src/kernels/blocks.ts';
import { elements, fromFloat32, toFloat32 } from '../../src/kernels/dtype.ts';
import { reference } from '../../src/kernels/reference/index.ts';
import { record } from '../../src/tensor/record.ts';
import { type Eager, scope } from '../../src/tensor/scope.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { makerFor, type OpCase, opCases } from './cases.ts';

export interface Skip {
  readonly reason: string;
  /** Names of rows. */
  readonly cases: readonly string[];
}

type Run = (ops: Eager, indices: (...data: number[]) => Tensor) => Tensor;

const attend = (ops: Eager, sight: Parameters<Eager['attention']>[3]) => {
  const keys = ops.zeros([3, 4]);
  return ops.attention(ops.zeros([1, 4]), keys, keys, sight, {
    heads: 1,
    kvHeads: 1,
    scale: 1,
    window: 0,
  });
};

/** Calls whose indices are out of range. */
const REFUSED: readonly [string, Run, string][] = [
  [
    'a row that is not there',
    (ops, at) => ops.gather(ops.zeros([3, 4]), at(0, 3)),
    'gather: expected indices from 0 to 2, got 3',
  ],
  [
    'a column below zero',
    (ops, at) => ops.gather(ops.zeros([3, 4]), at(-1), 1),
    'gather: expected indices from 0 to 3, got -1',
  ],
  [
    'a slot outside its state',
    (ops, at) => ops.scatter(ops.state([2, 4]), ops.zeros([1, 4]), at(2)),
    'scatter: expected indices from 0 to 1, got 2',
  ],
  [
    'a position past the rotary tables',
    (ops, at) => ops.rope(ops.zeros([1, 4]), at(5), ops.zeros([5, 2]), ops.zeros([5, 2]), 1),
    'rope: expected indices from 0 to 4, got 5',
  ],
  [
    'attention to a slot that is not there',
    (ops, at) => attend(ops, { visible: at(0, 3), starts: at(0), counts: at(2) }),
    'attention: expected slots from 0 to 2, got 3',
  ],
  [
    'attention past the list of slots',
    (ops, at) => attend(ops, { visible: at(0, 1), starts: at(1), counts: at(2) }),
    'attention: expected lists within the 2 slots visible, got 1 .. 3',
  ],
  [
    'attention to more slots than there are',
    (ops, at) => attend(ops, { visible: at(0, 1, 2, 0), starts: at(0), counts: at(4) }),
    'attention: expected rows that see from 0 to 3 slots, got 4',
  ],
];

async function compute(backend: Backend, row: OpCase) {
  return scope(backend, async (ops) => {
    const tensor = row.run(ops, makerFor(ops, row.name));
    return { shape: tensor.shape, dtype: tensor.dtype, data: await tensor.read() };
  });
}

/** Runs the whole table on a backend. */
export function backendConformance(
  name: string,
  make: () => Backend | Promise<Backend>,
  skips: readonly Skip[] = [],
): void {
  describe(`${name} agrees with the reference`, () => {
    const oracle = reference();
    let backend: Backend;
    beforeAll(async () => {
      backend = await make();
    });
    afterAll(() => backend.dispose());

    it('has skip entries only for rows that exist', () => {
      const names = new Set(opCases.map((row) => row.name));
      expect(skips.flatMap((skip) => skip.cases).filter((skipped) => !names.has(skipped))).toEqual(
        [],
      );
    });

    for (const row of opCases) {
      const skip = skips.find(({ cases }) => cases.includes(row.name));
      it.skipIf(skip)(skip ? `${row.name} (skipped: ${skip.reason})` : row.name, async () => {
        const expected = await compute(oracle, row);
        const actual = await compute(backend, row);
        expect(actual.shape).toEqual(expected.shape);
        expect(actual.dtype).toBe(expected.dtype);
        const wanted = toFloat32(expected.data, expected.dtype);
        const got = toFloat32(actual.data, actual.dtype);
        const worst = wanted.reduce(
          (most, value, i) => Math.max(most, Math.abs(value - got[i])),
          0,
        );
        expect(got.length).toBe(wanted.length);
        expect(got.every(Number.isFinite)).toBe(wanted.every(Number.isFinite));
        expect(worst).toBeLessThanOrEqual(row.tolerance);
      });
    }

    it('throws for every use after it is disposed, and can be disposed again', async () => {
      const closed = await make();
      const plan = record((ops) => [ops.exp(ops.input('x', 'f32', [4]))]);
      const program = closed.prepare(plan);
      const buffer = closed.alloc('f32', 4);
      closed.dispose();
      closed.dispose();
      closed[Symbol.dispose]();
      const call = { extents: { T: 1, K: 1 }, inputs: { x: new Float32Array(4) } };
      const gone = 'expected a backend, got a disposed one';
      expect(() => closed.alloc('f32', 4)).toThrow(`alloc: ${gone}`);
      expect(() => closed.write(buffer, new Float32Array(4))).toThrow(`write: ${gone}`);
      expect(() => closed.prepare(plan)).toThrow(`prepare: ${gone}`);
      expect(() => closed.run(program, call)).toThrow(`run: ${gone}`);
      await expect(closed.read(buffer)).rejects.toThrow(`read: ${gone}`);
      program.dispose();
      closed.free(buffer);
    });

    it('shows its storage in the layout of a file, or none', async () => {
      for (const dtype of ['f32', 'bf16', 'q8_0'] as const) {
        if (skips.some(({ cases }) => cases.includes(`linear 5x96x33 ${dtype}`))) continue;
        const buffer = backend.alloc(dtype, 128, 64);
        const data = fromFloat32(Float32Array.from({ length: 128 }, Math.sin), dtype);
        const bytes = backend.bytes?.(buffer);
        bytes?.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
        if (!bytes) backend.write(buffer, data);
        expect(await backend.read(buffer)).toEqual(data);
        backend.free(buffer);
      }
    });

    it('reads into an array that is given', async () => {
      for (const dtype of ['f32', 'bf16', 'q8_0'] as const) {
        if (skips.some(({ cases }) => cases.includes(`linear 5x96x33 ${dtype}`))) continue;
        for (const columns of [undefined, 64]) {
          const buffer = backend.alloc(dtype, 128, columns);
          const data = fromFloat32(Float32Array.from({ length: 128 }, Math.sin), dtype);
          backend.write(buffer, data);
          const into = elements(data, dtype, 32, 96).slice().fill(1);
          expect(await backend.read(buffer, 32, 96, into)).toBe(into);
          expect(into).toEqual(elements(data, dtype, 32, 96));
          backend.free(buffer);
        }
      }
    });

    it('keeps several matrices in one buffer, which has no width', async () => {
      for (const dtype of ['f32', 'bf16', 'q8_0', 'q4_0'] as const) {
        if (skips.some(({ cases }) => cases.includes(`linear 5x96x33 ${dtype}`))) continue;
        const buffer = backend.alloc(dtype, 192);
        const data = fromFloat32(Float32Array.from({ length: 192 }, Math.sin), dtype);
        backend.write(buffer, elements(data, dtype, 0, 64));
        backend.write(buffer, elements(data, dtype, 64, 192), 64);
        expect(await backend.read(buffer)).toEqual(data);
        expect(await backend.read(buffer, 32, 160)).toEqual(elements(data, dtype, 32, 160));
        backend.free(buffer);
      }
    });

    it.each(REFUSED)('refuses %s', async (_, run, message) => {
      const refused = scope(backend, (ops) =>
        run(ops, (...data) => ops.tensor(data, [data.length], 'i32')).read(),
      );
      await expect(refused).rejects.toThrow(message);
    });

    it('adds a row in one order whatever its company, where another order has another sum', async () => {
      // In f32, from left to right, 1; in pairs 0.
      const values = [1e8, 1, -1e8, 1];
      for (const from of [0, 3, 17]) {
        const row = new Float32Array(45);
        row.set(values, from);
        const sums = await scope(backend, (ops) => {
          const linear = (rows: number) =>
            ops
              .linear(
                ops.tensor(Array.from({ length: rows }, () => [...row]).flat(), [rows, 45], 'f32'),
                ops.tensor(Array<number>(45).fill(1), [1, 45], 'f32'),
              )
              .read();
          return Promise.all([1, 2, 3, 5, 8, 16, 19].map(linear));
        });
        const all = sums.flatMap((each) => [...each]);
        expect(all).toEqual(all.map(() => all[0]));
      }
    });

    for (const dtype of ['f32', 'f16', 'bf16', 'q8_0', 'q4_0'] as const) {
      const refused = skips.some(({ cases }) => cases.includes(`linear 5x96x33 ${dtype}`));
      const inner = isBlocked(dtype) ? 64 : 45;
      it.skipIf(refused)(
        `gives a row of linear ${dtype} the same bits alone and among 1, 2, 3, 5, 8, 16 and 19`,
        async () => {
          const rows = 19;
          const linear = (from: number, to: number) =>
            scope(backend, async (ops) => {
              const maker = makerFor(ops, `rows ${dtype}`);
              const x = maker.uniform([rows, inner]).rows(from, to);
              return ops
                .linear(x, maker.uniform([26, inner], -1, 1, dtype), maker.uniform([26]))
                .read();
            });
          const all = await linear(0, rows);
          for (const count of [1, 2, 3, 5, 8, 16]) {
            expect(await linear(0, count)).toEqual(all.slice(0, count * 26));
            expect(await linear(rows - count, rows)).toEqual(all.slice((rows - count) * 26));
          }
        },
      );
    }
  });
}
