// A decoder of two layers small enough to check by hand: its weights, its logits by float64 loops over the whole text, and
// the same thing recorded as a plan with caches.
import type { Backend, Program } from '../../src/kernels/backend.ts';
import { fromFloat32, toFloat32 } from '../../src/kernels/dtype.ts';
import type { DType, TypedArray } from '../../src/kernels/plan.ts';
import { philox4x32 } from '../../src/tensor/random.ts';
import { record } from '../../src/tensor/record.ts';
import { Tensor } from '../../src/tensor/tensor.ts';

// No width is a multiple of 4: the padding must not show.
/** Rows of a run. */
export const T = 5;
const [S, C, H, G, D, F, V, L, P] = [11, 10, 9, 3, 6, 15, 37, 2, 16];
const WINDOWS = [0, 4];
const EPS = 1e-5;
const SCALE = 1 / Math.sqrt(D);

/** Seeded numbers in (-1, 1). */
export function numbers(seed: number, length: number): Float32Array {
  const words = new Uint32Array(4);
  return Float32Array.from({ length }, (_, index) => {
    philox4x32(words, index, seed, 0, 0, 11, 7);
    return (words[0] / 2 ** 32) * 2 - 1;
  });
}

/** Weights of the toy by name, shape and size. */
const SHAPES: readonly (readonly [string, readonly number[]])[] = [
  ['embed', [V, C]],
  ...Array.from({ length: L }, (_, l) => [
    [`norm${l}`, [C]] as const,
    [`q${l}`, [H * D, C]] as const,
    [`k${l}`, [G * D, C]] as const,
    [`v${l}`, [G * D, C]] as const,
    [`out${l}`, [C, H * D]] as const,
    [`mlpNorm${l}`, [C]] as const,
    [`gate${l}`, [F, C]] as const,
    [`up${l}`, [F, C]] as const,
    [`down${l}`, [C, F]] as const,
  ]).flat(),
  ['norm', [C]],
  ['head', [V, C]],
  ['cos', [P, D / 2]],
  ['sin', [P, D / 2]],
];
const HALF_WEIGHTS: Readonly<Record<string, DType>> = { embed: 'bf16', q0: 'bf16', head: 'f16' };

const WEIGHTS = new Map(
  SHAPES.map(([name, shape], seed) => {
    const dtype = HALF_WEIGHTS[name] ?? 'f32';
    const data = fromFloat32(
      numbers(
        seed + 1,
        shape.reduce((a, b) => a * b, 1),
      ),
      dtype,
    );
    return [name, { shape, dtype, data: data as TypedArray, values: toFloat32(data, dtype) }];
  }),
);
const weight = (name: string) => WEIGHTS.get(name)!;

/** Logits of every position of a text, by float64 loops over the whole text. */
export function logitsOf(tokens: readonly number[]): number[][] {
  const matvec = (name: string, x: readonly number[]) => {
    const { shape, values } = weight(name);
    const [outer, inner] = shape;
    return Array.from({ length: outer }, (_, o) =>
      x.reduce((sum, value, i) => sum + value * values[o * inner + i], 0),
    );
  };
  const norm = (name: string, x: readonly number[]) => {
    const scale = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + EPS);
    return x.map((value, i) => value * scale * weight(name).values[i]);
  };
  const rotate = (x: readonly number[], position: number) =>
    x.map((value, i) => {
      const d = i % D;
      const pair = position * (D / 2) + (d % (D / 2));
      const [cos, sin] = [weight('cos').values[pair], weight('sin').values[pair]];
      return d < D / 2 ? value * cos - x[i + D / 2] * sin : value * cos + x[i - D / 2] * sin;
    });
  const silu = (x: number) => x / (1 + Math.exp(-x));
  const plus = (a: readonly number[], b: readonly number[]) => a.map((value, i) => value + b[i]);
  let rows = tokens.map((token) => [
    ...weight('embed').values.subarray(token * C, (token + 1) * C),
  ]);
  for (let l = 0; l < L; l++) {
    const normed = rows.map((x) => norm(`norm${l}`, x));
    const keys = normed.map((x, position) => rotate(matvec(`k${l}`, x), position));
    const values = normed.map((x) => matvec(`v${l}`, x));
    rows = rows.map((x, t) => {
      const q = rotate(matvec(`q${l}`, normed[t]), t);
      const first = WINDOWS[l] > 0 ? Math.max(0, t + 1 - WINDOWS[l]) : 0;
      const mixed = q.map((_, column) => {
        const h = Math.floor(column / D);
        const shared = Math.floor((h * G) / H) * D;
        let total = 0;
        let sum = 0;
        for (let s = first; s <= t; s++) {
          let score = 0;
          for (let d = 0; d < D; d++) score += q[h * D + d] * keys[s][shared + d] * SCALE;
          total += Math.exp(score);
          sum += Math.exp(score) * values[s][shared + (column % D)];
        }
        return sum / total;
      });
      const attended = plus(x, matvec(`out${l}`, mixed));
      const inner = norm(`mlpNorm${l}`, attended);
      const up = matvec(`up${l}`, inner);
      return plus(
        attended,
        matvec(
          `down${l}`,
          matvec(`gate${l}`, inner).map((value, i) => silu(value) * up[i]),
        ),
      );
    });
  }
  return rows.map((x) => matvec('head', norm('norm', x)));
}

/** The toy on a backend: one plan, weights shared by all caches. */
export function createToy(backend: Backend) {
  const allocate = (
    kind: 'constant' | 'state',
    dtype: DType,
    shape: readonly number[],
    data?: TypedArray,
  ) => {
    const buffer = backend.alloc(
      dtype,
      shape.reduce((a, b) => a * b, 1),
    );
    if (data) backend.write(buffer, data);
    return new Tensor({ kind, dtype, shape, buffer, offset: 0 }, backend);
  };
  const tensors = new Map(
    [...WEIGHTS].map(([name, { dtype, shape, data }]) => [
      name,
      allocate('constant', dtype, shape, data),
    ]),
  );
  const of = (name: string) => tensors.get(name)!;
  const createCache = (): Program => {
    const plan = record((ops) => {
      const rows = (name: string) => ops.input(name, 'i32', [T], 'T');
      const [tokens, positions, slots, starts, counts] = [
        'tokens',
        'positions',
        'slots',
        'starts',
        'counts',
      ].map(rows);
      const keep = ops.input('keep', 'i32', [T], 'K');
      const visible = ops.input('visible', 'i32', [T * S]);
      let x = ops.gather(of('embed'), tokens);
      for (let l = 0; l < L; l++) {
        const normed = ops.rmsNorm(x, of(`norm${l}`), EPS);
        const turn = (name: string, heads: number) =>
          ops.rope(ops.linear(normed, of(name)), positions, of('cos'), of('sin'), heads);
        const keys = ops.scatter(allocate('state', 'f32', [S, G * D]), turn(`k${l}`, G), slots);
        const values = ops.scatter(
          allocate('state', 'f32', [S, G * D]),
          ops.linear(normed, of(`v${l}`)),
          slots,
        );
        const mixed = ops.attention(
          turn(`q${l}`, H),
          keys,
          values,
          { visible, starts, counts },
          { heads: H, kvHeads: G, scale: SCALE, window: WINDOWS[l] },
        );
        x = ops.add(x, ops.linear(mixed, of(`out${l}`)));
        const inner = ops.rmsNorm(x, of(`mlpNorm${l}`), EPS);
        const gated = ops.siluMul(
          ops.linear(inner, of(`gate${l}`)),
          ops.linear(inner, of(`up${l}`)),
        );
        x = ops.add(x, ops.linear(gated, of(`down${l}`)));
      }
      return [ops.linear(ops.rmsNorm(ops.gather(x, keep), of('norm'), EPS), of('head'))];
    });
    return backend.prepare(plan);
  };
  /** Runs tokens[from .. to) of a text whose positions are stored in the given slots; logits of those rows. */
  const run = (
    program: Program,
    tokens: readonly number[],
    from: number,
    to: number,
    slots: readonly number[],
  ) => {
    const rows = Array.from({ length: to - from }, (_, t) => from + t);
    backend.run(program, {
      extents: { T: rows.length, K: rows.length },
      inputs: {
        tokens: Int32Array.from(rows, (row) => tokens[row]),
        positions: Int32Array.from(rows),
        slots: Int32Array.from(rows, (row) => slots[row]),
        keep: Int32Array.from(rows, (_, t) => t),
        visible: Int32Array.from(slots),
        starts: new Int32Array(rows.length),
        counts: Int32Array.from(rows, (row) => row + 1),
      },
    });
    return backend.read(program.outputs[0], 0, rows.length * V) as Promise<Float32Array>;
  };
  /** The whole text, `size` rows at a time. */
  const runAll = async (
    program: Program,
    tokens: readonly number[],
    size: number,
    slots: readonly number[],
  ) => {
    const parts: number[] = [];
    for (let from = 0; from < tokens.length; from += size)
      parts.push(
        ...(await run(program, tokens, from, Math.min(tokens.length, from + size), slots)),
      );
    return parts;
  };
  return { createCache, run, runAll };
}
