// Matrices of the wasm backend in panels: what is written comes back, and linear and gather read it as the matrix it is.
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { isBlocked } from '../../src/kernels/blocks.ts';
import { entriesOf, fromFloat32, reader } from '../../src/kernels/dtype.ts';
import type { DType } from '../../src/kernels/plan.ts';
import { reference } from '../../src/kernels/reference/index.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { record } from '../../src/tensor/record.ts';
import { Tensor } from '../../src/tensor/tensor.ts';

const DTYPES = ['f32', 'bf16', 'f16', 'q8_0', 'q4_0'] as const;
const backends = [
  wasm({ relaxed: false, threads: 1 }),
  wasm({ relaxed: true, threads: 2 }),
  reference(),
];
const [simd, relaxed, oracle] = backends;
afterAll(() => {
  for (const backend of backends) backend.dispose();
});

/** Numbers without a pattern, in (-1, 1). */
function numbers(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return state / 2 ** 31;
  });
}

function matrix(backend: typeof simd, dtype: DType, rows: number, columns: number): Tensor {
  const buffer = backend.alloc(dtype, rows * columns, columns);
  backend.write(buffer, fromFloat32(numbers(rows * columns, 1), dtype));
  return new Tensor(
    { kind: 'constant', dtype, shape: [rows, columns], buffer, offset: 0 },
    backend,
  );
}

async function run(
  backend: typeof simd,
  body: Parameters<typeof record>[0],
  inputs: Readonly<Record<string, Float32Array | Int32Array>>,
  rows: number,
): Promise<Float32Array> {
  const program = backend.prepare(record(body));
  backend.run(program, { extents: { T: rows, K: 0 }, inputs });
  const result = (await backend.read(program.outputs[0])) as Float32Array;
  program.dispose();
  return result;
}

describe.each(DTYPES)('a matrix of %s', (dtype) => {
  const unit = isBlocked(dtype) ? 32 : 1;

  it('comes back as it was written, in pieces of any rows', async () => {
    const sizes = fc.record({
      rows: fc.integer({ min: 1, max: 21 }),
      columns: fc.integer({ min: 1, max: Math.ceil(1300 / unit) }),
      piece: fc.integer({ min: 1, max: 9 }),
    });
    await fc.assert(
      fc.asyncProperty(sizes, async ({ rows, columns: units, piece }) => {
        const columns = units * unit;
        const data = fromFloat32(numbers(rows * columns, 2), dtype);
        const buffer = simd.alloc(dtype, rows * columns, columns);
        for (let row = 0; row < rows; row += piece) {
          const [from, to] = [row, Math.min(rows, row + piece)].map((each) => each * columns);
          simd.write(buffer, data.subarray(entriesOf(dtype, from), entriesOf(dtype, to)), from);
        }
        expect(await simd.read(buffer)).toEqual(data);
        const middle = Math.floor(rows / 2) * columns;
        expect(await simd.read(buffer, middle, rows * columns)).toEqual(
          data.subarray(entriesOf(dtype, middle)),
        );
        simd.free(buffer);
      }),
      { seed: 20_264, numRuns: 30 },
    );
  });

  it.each([
    [1, 1, 1],
    [1, 13, 96],
    [3, 8, 1056],
    [4, 6, 544],
    [7, 30, 1600],
    [16, 33, 2080],
  ])('is read by linear: %i rows, %i outputs, about %i inputs', async (rows, outer, about) => {
    const inner = Math.ceil(about / unit) * unit;
    const x = numbers(rows * inner, 3);
    const y = (backend: typeof simd) => {
      const weight = matrix(backend, dtype, outer, inner);
      return run(
        backend,
        (ops) => [ops.linear(ops.input('x', 'f32', [rows, inner], 'T'), weight)],
        { x },
        rows,
      );
    };
    const expected = await y(oracle);
    for (const backend of [simd, relaxed]) {
      const got = await y(backend);
      const worst = got.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - expected[i])),
        0,
      );
      const loose = dtype === 'q4_0' ? 6e-3 : 2e-5;
      expect(worst).toBeLessThanOrEqual(2e-5 + loose * Math.sqrt(inner));
    }
  });

  it('is read by gather, exactly', async () => {
    const [rows, columns] = [11, 1312];
    const index = Int32Array.of(10, 0, 3, 7, 3);
    const y = (backend: typeof simd) => {
      const table = matrix(backend, dtype, rows, columns);
      return run(
        backend,
        (ops) => [ops.gather(table, ops.input('n', 'i32', [5]))],
        { n: index },
        0,
      );
    };
    expect(await y(simd)).toEqual(await y(oracle));
  });

  it('is read by every other op in the order of its elements', async () => {
    const table = matrix(simd, dtype, 5, 64);
    const other = matrix(oracle, dtype, 5, 64);
    const index = { n: Int32Array.of(63, 0, 17) };
    const pick = (source: Tensor) => (ops: Parameters<Parameters<typeof record>[0]>[0]) => [
      ops.gather(source, ops.input('n', 'i32', [3]), 1),
    ];
    expect(await run(simd, pick(table), index, 0)).toEqual(
      await run(oracle, pick(other), index, 0),
    );
  });
});

/** What linear computes with weights in blocks, in float64: rows of x as whole numbers, sums of blocks exact. */
function twin(
  dtype: 'q8_0' | 'q4_0',
  x: Float32Array,
  weights: ReturnType<typeof fromFloat32>,
  inner: number,
) {
  const most = dtype === 'q8_0' ? 32_767 : 127;
  const at = reader(weights, dtype);
  const outer = (weights.length / entriesOf(dtype, 32)) * (32 / inner);
  return Array.from({ length: outer }, (_, o) => {
    let sum = 0;
    for (let b = 0; b < inner; b += 32) {
      const block = x.subarray(b, b + 32);
      const largest = Math.max(...block.map(Math.abs));
      const scale = Math.fround(largest / most);
      const inverse = Math.fround(most / largest);
      for (let i = 0; i < 32; i++) {
        const exact = Math.fround(block[i] * inverse);
        const floor = Math.floor(exact);
        const up = exact - floor > 0.5 || (exact - floor === 0.5 && floor % 2 !== 0);
        sum += (floor + (up ? 1 : 0)) * scale * at(o * inner + b + i);
      }
    }
    return sum;
  });
}

describe.each(['q8_0', 'q4_0'] as const)('linear with weights in %s', (dtype) => {
  it('is what whole numbers give, with and without relaxed SIMD', async () => {
    const [outer, inner] = [19, 1120];
    const x = numbers(inner, 5);
    const expected = twin(dtype, x, fromFloat32(numbers(outer * inner, 1), dtype), inner);
    for (const backend of [simd, relaxed]) {
      const weight = matrix(backend, dtype, outer, inner);
      const body = (ops: Parameters<Parameters<typeof record>[0]>[0]) => [
        ops.linear(ops.input('x', 'f32', [1, inner], 'T'), weight),
      ];
      const got = await run(backend, body, { x }, 1);
      for (const [o, value] of expected.entries()) expect(got[o]).toBeCloseTo(value, 4);
    }
  });

  it('gives NaN for the rows that have one, and zeros for zeros', async () => {
    const inner = 64;
    const x = numbers(3 * inner, 6);
    x[inner + 5] = Number.NaN;
    x.fill(0, 2 * inner);
    const weight = matrix(relaxed, dtype, 8, inner);
    const y = await run(
      relaxed,
      (ops) => [ops.linear(ops.input('x', 'f32', [3, inner], 'T'), weight)],
      { x },
      3,
    );
    expect(y.subarray(0, 8).every(Number.isFinite)).toBe(true);
    expect(y.subarray(8, 16).every(Number.isNaN)).toBe(true);
    expect([...y.subarray(16)]).toEqual(Array(8).fill(0));
  });
});

describe('linear with weights in f16', () => {
  it('gives the infinities and NaN of a few weights, for any number of rows, with the bits of one row alone', async () => {
    const [outer, inner] = [10, 600];
    const weights = fromFloat32(numbers(outer * inner, 1), 'f16') as Uint16Array;
    weights[2 * inner + 300] = 0x7c00;
    weights[5 * inner + 599] = 0xfe00;
    weights[9 * inner] = 0xfc00;
    const most = 7;
    const x = numbers(most * inner, 7);
    const y = async (backend: typeof simd, rows: Float32Array) => {
      const buffer = backend.alloc('f16', outer * inner, inner);
      backend.write(buffer, weights);
      const shape = [outer, inner] as const;
      const place = { kind: 'constant', dtype: 'f16', shape, buffer, offset: 0 } as const;
      const count = rows.length / inner;
      const body = (ops: Parameters<Parameters<typeof record>[0]>[0]) => [
        ops.linear(ops.input('x', 'f32', [count, inner], 'T'), new Tensor(place, backend)),
      ];
      return run(backend, body, { x: rows }, count);
    };
    const expected = await y(oracle, x);
    for (const backend of [simd, relaxed]) {
      const alone: number[] = [];
      for (let row = 0; row < most; row++)
        alone.push(...(await y(backend, x.slice(row * inner, (row + 1) * inner))));
      for (const [at, value] of alone.entries())
        if (Number.isFinite(expected[at])) expect(value).toBeCloseTo(expected[at], 4);
        else expect(value).toBe(expected[at]);
      for (let rows = 2; rows <= most; rows++) {
        const together = await y(backend, x.slice(0, rows * inner));
        expect([...together]).toEqual(alone.slice(0, rows * outer));
      }
    }
    expect(expected.some(Number.isNaN)).toBe(true);
    expect(expected.includes(Number.POSITIVE_INFINITY)).toBe(true);
    expect(expected.includes(Number.NEGATIVE_INFINITY)).toBe(true);
  });
});
