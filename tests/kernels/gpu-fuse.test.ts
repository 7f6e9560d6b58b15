// What the gpu backend makes one: products of the same rows, gated units, residuals. Against the reference, step by step; and the
// two layouts of products.
import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/kernels/backend.ts';
import { fromFloat32 } from '../../src/kernels/dtype.ts';
import { fuse } from '../../src/kernels/gpu/fuse.ts';
import { type GpuOptions, gpu } from '../../src/kernels/gpu/index.ts';
import { fasterLayout, layoutNote } from '../../src/kernels/gpu/layouts.ts';
import { lower } from '../../src/kernels/gpu/lower.ts';
import type { DType, Plan } from '../../src/kernels/plan.ts';
import { reference } from '../../src/kernels/reference/index.ts';
import { type Recorder, record } from '../../src/tensor/record.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { numbers } from './toy.ts';

const ROWS = 3;
const WIDTH = 64;

/** Makes constants on a backend, each with numbers of its own. */
function makerOn(backend: Backend) {
  let seed = 0;
  return (shape: readonly number[], dtype: DType = 'f32') => {
    const length = shape.reduce((a, b) => a * b, 1);
    const buffer = backend.alloc(dtype, length, shape.length === 2 ? shape[1] : undefined);
    backend.write(buffer, fromFloat32(numbers(++seed, length), dtype));
    return new Tensor({ kind: 'constant', dtype, shape, buffer, offset: 0 }, backend);
  };
}

type Make = ReturnType<typeof makerOn>;
type Body = (ops: Recorder, x: Tensor, make: Make) => readonly Tensor[];

const planOf = (backend: Backend, body: Body): Plan =>
  record((ops) => body(ops, ops.input('x', 'f32', [ROWS, WIDTH], 'T'), makerOn(backend)));

async function run(backend: Backend, body: Body): Promise<number[][]> {
  const program = backend.prepare(planOf(backend, body));
  const x = numbers(99, ROWS * WIDTH);
  backend.run(program, { extents: { T: ROWS, K: 0 }, inputs: { x } });
  const results = await Promise.all(program.outputs.map((buffer) => backend.read(buffer)));
  backend.dispose();
  return results.map((result) => [...result]);
}

/** Kernel calls of a plan. */
const callsOf = (body: Body, layout: 'rows' | 'lanes' = 'rows') =>
  lower(planOf(reference(), body), {
    hasData: () => false,
    inPlace: true,
    layout,
    raw: false,
    maxColumns: Number.POSITIVE_INFINITY,
  }).calls.length;

const BODIES: Readonly<Record<string, { readonly body: Body; readonly calls: number }>> = {
  'three products of the same rows, one of them a result': {
    // The products, their uses, and a copy of the result, which is a part of a grid.
    calls: 4,
    body(ops, x, make) {
      const [q, k, v] = [48, 16, 16].map((outer) => ops.linear(x, make([outer, WIDTH])));
      return [ops.neg(q), ops.mul(k, v), q];
    },
  },
  'products in blocks with biases': {
    calls: 3,
    body: (ops, x, make) =>
      [8, 24].map((outer) => ops.linear(x, make([outer, WIDTH], 'q8_0'), make([outer]))),
  },
  'a gated unit': {
    calls: 1,
    body(ops, x, make) {
      const [gate, up] = [0, 1].map(() => ops.linear(x, make([20, WIDTH])));
      return [ops.siluMul(gate, up)];
    },
  },
  'a gated unit in blocks with biases': {
    calls: 1,
    body(ops, x, make) {
      const [gate, up] = [0, 1].map(() => ops.linear(x, make([20, WIDTH], 'q4_0'), make([20])));
      return [ops.siluMul(gate, up)];
    },
  },
  'a residual and a bias': {
    calls: 1,
    body: (ops, x, make) => [
      ops.add(x, ops.linear(x, make([WIDTH, WIDTH], 'bf16'), make([WIDTH]))),
    ],
  },
  'a sum of two products, of which one can take the other in': {
    calls: 3,
    body: (ops, x, make) => [
      ops.add(ops.linear(x, make([20, WIDTH])), ops.linear(ops.neg(x), make([20, WIDTH]))),
    ],
  },
  'a gate that is needed elsewhere too': {
    calls: 3,
    body(ops, x, make) {
      const [gate, up] = [0, 1].map(() => ops.linear(x, make([20, WIDTH])));
      return [ops.siluMul(gate, up), ops.neg(gate)];
    },
  },
  'products that differ in kind, and one with a bias beside one without': {
    calls: 3,
    body: (ops, x, make) => [
      ops.linear(x, make([8, WIDTH])),
      ops.linear(x, make([8, WIDTH], 'q8_0')),
      ops.linear(x, make([8, WIDTH]), make([8])),
    ],
  },
  'weights that are not there before the run': {
    calls: 4,
    body(ops, x, make) {
      const weights = ops.neg(make([20, WIDTH]));
      return [ops.linear(x, weights), ops.linear(x, weights), ops.linear(x, make([20, WIDTH]))];
    },
  },
};

const OPTIONS: readonly GpuOptions[] = [
  { mode: 'webasm' },
  { mode: 'webasm', layout: 'lanes' },
  { mode: 'cpu' },
];

describe('the gpu backend', () => {
  for (const [name, { body, calls }] of Object.entries(BODIES)) {
    it(`takes ${calls} calls for ${name}`, () => {
      expect(callsOf(body)).toBe(calls);
    });

    for (const options of OPTIONS)
      it(`gives what the reference gives for ${name}, mode ${options.mode}, layout ${options.layout}`, async () => {
        const expected = await run(reference(), body);
        const found = await run(await gpu(options), body);
        for (const [index, values] of expected.entries()) {
          expect(found[index]).toHaveLength(values.length);
          for (const [at, value] of values.entries())
            expect(Math.abs(found[index][at] - value)).toBeLessThan(2e-5);
        }
      });
  }

  it('leaves every step of a plan to one call, and no step twice', () => {
    for (const { body } of Object.values(BODIES)) {
      const plan = planOf(reference(), body);
      const products = fuse(plan);
      const weights = [...products.values()].flatMap((product) => product?.weights ?? []);
      const steps = plan.steps.filter(({ op }) => op === 'linear');
      expect(weights).toEqual(steps.map(({ inputs }) => inputs[1]));
    }
  });

  it('adds a call for the sums of lanes, and none where a row is too short for them', () => {
    const product = (width: number, outer: number) => (ops: Recorder, x: Tensor, make: Make) => [
      ops.linear(width === WIDTH ? x : ops.slice(x, 1, 0, width), make([outer, width])),
    ];
    expect(callsOf(product(WIDTH, 8), 'rows')).toBe(1);
    expect(callsOf(product(WIDTH, 8), 'lanes')).toBe(2);
    expect(callsOf(product(33, 8), 'lanes')).toBe(2);
    // Enough threads without them.
    expect(callsOf(product(WIDTH, 2 ** 18), 'lanes')).toBe(1);
  });

  it('times both layouts, says which is faster, and puts the times into words', async () => {
    const open = await Promise.all(
      (['rows', 'lanes'] as const).map((layout) => gpu({ mode: 'webasm', layout })),
    );
    const { layout, times } = await fasterLayout((each) => open[each === 'rows' ? 0 : 1], {
      width: 64,
      repeats: 2,
      turns: 3,
    });
    const total = (each: 'rows' | 'lanes') => times[each].reduce((sum, ms) => sum + ms, 0);
    const other = layout === 'rows' ? 'lanes' : 'rows';
    expect(total(layout)).toBeLessThanOrEqual(total(other));
    expect(times.rows).toHaveLength(2);
    expect(layoutNote(layout, times)).toMatch(
      /^products in layout (rows|lanes): 1 and 8 rows of a trial took [\d.]+ and [\d.]+ ms in rows, [\d.]+ and [\d.]+ ms in lanes$/,
    );
  });
});
