// What every mode of the gpu backend has to do, in Node or in a page: the conformance suite, a toy decoder against float64
// loops, caches that live in the pipeline, rows that do not depend on their neighbours, and what it refuses.
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { UnsupportedError } from '../../src/kernels/errors.ts';
import { type GpuOptions, gpu } from '../../src/kernels/gpu/index.ts';
import { record } from '../../src/tensor/record.ts';
import { scope } from '../../src/tensor/scope.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { backendConformance } from './conformance.ts';
import { createToy, logitsOf, T } from './toy.ts';

const worst = (a: ArrayLike<number>, b: readonly number[]) =>
  b.reduce((most, value, i) => Math.max(most, Math.abs(value - a[i])), 0);

const TEXT = [3, 36, 0, 17, 5, 5, 22, 9];
const OTHER = [30, 2, 2, 11, 36, 1];
const SLOTS = [7, 2, 10, 0, 4, 9, 1, 3];
const OTHER_SLOTS = [1, 0, 9, 2, 8, 6];

/** GPU.js may fall back to another mode with nothing but a warning. */
function forbidFallback(): void {
  let warn: MockInstance;
  let tests = 0;
  beforeEach(() => {
    warn = vi.spyOn(console, 'warn');
  });
  afterEach(async () => {
    const warnings = warn.mock.calls.map((call) => call.join(' '));
    warn.mockRestore();
    expect(warnings.filter((text) => /Falling back to CPU/i.test(text))).toEqual([]);
    // See FLAGS of tests/pages/chromium.ts; GPU.js lets go of a plan in a timer.
    const { gc } = globalThis as { readonly gc?: () => void };
    if (gc === undefined || ++tests % 16 > 0) return;
    await new Promise((done) => setTimeout(done));
    gc();
  });
}

/** Runs it all in one mode; `executor` is what the report has to say after a run. */
export function gpuMode(options: GpuOptions, executor: string): void {
  forbidFallback();
  const { mode, layout } = options;
  const name = `gpu in mode ${mode}${layout === undefined ? '' : `, layout ${layout}`}`;
  backendConformance(name, () => gpu(options));

  describe(name, () => {
    it('says what really ran, and nothing before it did', async () => {
      const backend = await gpu(options);
      expect(backend.report.executor).toBe(`${options.mode}, not run yet`);
      const sum = await scope(backend, async (ops) =>
        ops.add(ops.tensor([1, 2], [2]), ops.tensor([3, 4], [2])).read(),
      );
      expect(sum).toEqual(Float32Array.of(4, 6));
      expect(backend.report).toMatchObject({
        backend: 'gpu',
        executor: executor,
        stepTimings: false,
        preferredRows: 16,
      });
      expect(backend.report.notes.join()).toContain('f32');
      backend.dispose();
    });

    it('agrees with float64 loops on a decoder of two layers, whatever the number of rows per run', async () => {
      const backend = await gpu(options);
      const toy = createToy(backend);
      const expected = logitsOf(TEXT).flat();
      const together = await toy.runAll(toy.createCache(), TEXT, T, SLOTS);
      expect(worst(together, expected)).toBeLessThan(1e-4);
      for (let size = 1; size < T; size++)
        expect(await toy.runAll(toy.createCache(), TEXT, size, SLOTS)).toEqual(together);
      expect(backend.report.executor).toBe(executor);
      backend.dispose();
    });

    it('keeps each cache in place from run to run and never mixes two', async () => {
      const backend = await gpu(options);
      const toy = createToy(backend);
      const [one, two] = [toy.createCache(), toy.createCache()];
      const expected = [logitsOf(TEXT), logitsOf(OTHER)];
      for (let position = 0; position < OTHER.length; position++) {
        // Both runs are asked for before either is read.
        const first = toy.run(one, TEXT, position, position + 1, SLOTS);
        const second = toy.run(two, OTHER, position, position + 1, OTHER_SLOTS);
        expect(worst(await first, expected[0][position])).toBeLessThan(1e-4);
        expect(worst(await second, expected[1][position])).toBeLessThan(1e-4);
      }
      backend.dispose();
    });

    it('overwrites a slot when a row is computed again', async () => {
      const backend = await gpu(options);
      const toy = createToy(backend);
      const cache = toy.createCache();
      const wrong = [...TEXT.slice(0, 3), 8, 8];
      await toy.runAll(cache, wrong, T, SLOTS);
      const again = await toy.run(cache, TEXT, 3, 6, SLOTS);
      expect(worst(again, logitsOf(TEXT).slice(3, 6).flat())).toBeLessThan(1e-4);
      backend.dispose();
    });

    it('scatters into a state that holds data, and moves it to the next plan that scatters', async () => {
      const backend = await gpu(options);
      const result = await scope(backend, async (ops) => {
        const state = ops.state([4, 3]);
        ops.scatter(state, ops.tensor([1, 2, 3], [1, 3]), ops.tensor(Int32Array.of(2), [1]));
        return ops
          .scatter(state, ops.tensor([7, 8, 9], [1, 3]), ops.tensor(Int32Array.of(0), [1]))
          .read();
      });
      expect([...result]).toEqual([7, 8, 9, 0, 0, 0, 1, 2, 3, 0, 0, 0]);
      backend.dispose();
    });

    it('returns the array type of every dtype', async () => {
      const backend = await gpu(options);
      await scope(backend, async (ops) => {
        const x = ops.tensor([1.75, -2.5, 300, 0], [4]);
        expect(await ops.cast(x, 'i32').read()).toEqual(Int32Array.of(1, -2, 300, 0));
        expect(await ops.cast(x, 'i8').read()).toEqual(Int8Array.of(1, -2, 127, 0));
        expect(await ops.cast(x, 'u8').read()).toEqual(Uint8Array.of(1, 0, 255, 0));
        expect(await ops.cast(x, 'bool').read()).toEqual(Uint8Array.of(1, 1, 1, 0));
        expect(await ops.cast(x, 'bf16').read()).toEqual(Uint16Array.of(0x3fe0, 0xc020, 0x4396, 0));
      });
      backend.dispose();
    });

    it('joins more tensors than a kernel takes', async () => {
      const backend = await gpu(options);
      await scope(backend, async (ops) => {
        const parts = Array.from({ length: 9 }, (_, part) =>
          ops.tensor([part, part + 0.5], [1, 2]),
        );
        const expected = parts.flatMap((_, part) => [part, part + 0.5]);
        expect([...(await ops.concat(parts).read())]).toEqual(expected);
      });
      backend.dispose();
    });

    it('attends to more slots than the 1000 turns after which gpu.js would cut a loop', async () => {
      const backend = await gpu(options);
      const slots = 1500;
      const mean = await scope(backend, async (ops) => {
        const whole = (values: readonly number[]) =>
          ops.tensor(Int32Array.from(values), [values.length]);
        const data = ops.tensor(
          Float32Array.from({ length: slots * 2 }, (_, i) => i),
          [slots, 2],
        );
        const sight = {
          visible: whole(Array.from({ length: slots }, (_, slot) => slot)),
          starts: whole([0]),
          counts: whole([slots]),
        };
        const params = { heads: 1, kvHeads: 1, scale: 1, window: 0 };
        // A query of zeros weighs all slots alike.
        return ops.attention(ops.zeros([1, 2]), data, data, sight, params).read();
      });
      expect(worst(mean, [slots - 1, slots])).toBeLessThan(0.01);
      backend.dispose();
    });

    it('refuses integers that f32 does not hold', async () => {
      const backend = await gpu(options);
      expect(() => backend.write(backend.alloc('i32', 1), Int32Array.of(2 ** 24 + 1))).toThrow(
        UnsupportedError,
      );
      const product = scope(backend, async (ops) => {
        const x = ops.tensor(Int32Array.of(5000), [1]);
        return ops.mul(x, x).read();
      });
      await expect(product).rejects.toThrow(/2\^24/);
      backend.dispose();
    });

    it('refuses to share a resident state, to round inside a plan, and to read what stays inside', async () => {
      const backend = await gpu(options);
      const buffer = backend.alloc('f32', 8);
      const state = new Tensor(
        { kind: 'state', dtype: 'f32', shape: [4, 2], buffer, offset: 0 },
        backend,
      );
      const plan = record((ops) => {
        const held = ops.scatter(
          state,
          ops.input('rows', 'f32', [1, 2], 'T'),
          ops.input('slots', 'i32', [1], 'T'),
        );
        return [ops.sum(held)];
      });
      backend.prepare(plan);
      expect(() => backend.prepare(plan)).toThrow(UnsupportedError);
      await expect(backend.read(buffer)).rejects.toThrow(/resident/);
      const rounding = record((ops) => [
        ops.cast(ops.cast(ops.input('x', 'f32', [2]), 'f16'), 'f32'),
      ]);
      expect(() => backend.prepare(rounding)).toThrow(/cast to f16/);
      backend.dispose();
    });

    it('keeps what a state held before the first run', async () => {
      const backend = await gpu(options);
      const buffer = backend.alloc('f32', 6);
      backend.write(buffer, Float32Array.of(1, 2, 3, 4, 5, 6));
      const state = new Tensor(
        { kind: 'state', dtype: 'f32', shape: [3, 2], buffer, offset: 0 },
        backend,
      );
      const program = backend.prepare(
        record((ops) => [
          ops.scatter(
            state,
            ops.input('rows', 'f32', [1, 2], 'T'),
            ops.input('slots', 'i32', [1], 'T'),
          ),
        ]),
      );
      const run = (slot: number, value: number) => {
        const inputs = { rows: Float32Array.of(value, value), slots: Int32Array.of(slot) };
        backend.run(program, { extents: { T: 1, K: 0 }, inputs });
        return backend.read(program.outputs[0]);
      };
      expect([...(await run(1, 8))]).toEqual([1, 2, 8, 8, 5, 6]);
      expect([...(await run(0, 9))]).toEqual([9, 9, 8, 8, 5, 6]);
      backend.dispose();
    });

    it('refuses a wrong call as it is made, and a program whose run has failed', async () => {
      const backend = await gpu(options);
      const table = backend.alloc('f32', 6);
      const weights = new Tensor(
        { kind: 'constant', dtype: 'f32', shape: [3, 2], buffer: table, offset: 0 },
        backend,
      );
      const plan = record((ops) => [
        ops.linear(ops.gather(weights, ops.input('rows', 'i32', [1], 'T')), weights),
      ]);
      const program = backend.prepare(plan);
      const run = (row: number) =>
        backend.run(program, { extents: { T: 1, K: 0 }, inputs: { rows: Int32Array.of(row) } });
      backend.write(table, Float32Array.of(1, 2, 3, 4, 5, 6));
      expect(() => run(3)).toThrow('gather: expected indices from 0 to 2, got 3');
      run(1);
      expect([...(await backend.read(program.outputs[0]))]).toEqual([11, 25, 39]);
      // Resident constants are copies: a change after the first run must not go unseen.
      backend.write(table, Float32Array.of(0), 0);
      run(1);
      await expect(backend.read(program.outputs[0])).rejects.toThrow(/written since/);
      expect(() => run(1)).toThrow(/written since/);
      backend.dispose();
    });
  });
}
