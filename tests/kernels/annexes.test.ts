// Matrices in annexes, tested with memories of a few megabytes: the same bits as in one memory, for every weight type, any
// number of threads and rows, and errors that say what to reduce where a memory is full.

import { describe, expect, it } from 'vitest';
import { type LlamaShape, randomModel } from '../../bench/random-model.ts';
import { fromFloat32 } from '../../src/kernels/dtype.ts';
import type { WasmBuffer } from '../../src/kernels/wasm/buffers.ts';
import { type WasmOptions, wasm } from '../../src/kernels/wasm/index.ts';
import { record } from '../../src/tensor/record.ts';
import { scope } from '../../src/tensor/scope.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { makerFor } from './cases.ts';
import { numbers } from './toy.ts';

/** Every width a multiple of a block; weights of 2 MB in f32. */
const SHAPE: LlamaShape = {
  hidden_size: 128,
  intermediate_size: 352,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 512,
  max_position_embeddings: 128,
};
const TEXT = [3, 36, 1, 17, 5, 5, 22, 9, 60, 4, 41, 8];

/** Logits of all rows, a few at a time, and how many annexes there were. */
async function logitsOf(dtype: 'f32' | 'bf16' | 'f16' | 'q8_0' | 'q4_0', options: WasmOptions) {
  const annexes = new Set<number>();
  const backend = wasm(options);
  const spied = {
    ...backend,
    alloc(...args: Parameters<typeof backend.alloc>) {
      const buffer = backend.alloc(...args);
      annexes.add((buffer as WasmBuffer).annex);
      return buffer;
    },
  };
  const model = randomModel(spied, SHAPE, dtype, 32);
  const cache = model.createCache();
  const sequence = cache.sequence();
  const logits: Float32Array[] = [];
  let from = 0;
  for (const count of [1, 4, 7]) {
    const tokens = TEXT.slice(from, from + count);
    const keep = tokens.map((_, row) => row);
    logits.push(...(await model.forward(cache, [{ sequence, tokens, keep }])).logits);
    from += count;
    // Other threads have started by the second forward.
    await new Promise((done) => setTimeout(done, 60));
  }
  cache.dispose();
  model.dispose();
  const { notes } = backend.report;
  backend.dispose();
  return { logits, annexes: annexes.size - 1, notes };
}

describe('a model in annexes', () => {
  it.each([
    ['f32', 1],
    ['bf16', 0.75],
    ['f16', 0.75],
    ['q8_0', 0.5],
    ['q4_0', 0.375],
  ] as const)(
    'has the logits of one memory in %s, memories of %f MiB',
    async (dtype, mebibytes) => {
      const { logits, annexes } = await logitsOf(dtype, { threads: 1 });
      expect(annexes).toBe(0);
      const memoryLimit = mebibytes * 2 ** 20;
      for (const options of [{ threads: 1 }, { threads: 2 }, { threads: 3 }, { shared: false }]) {
        const spread = await logitsOf(dtype, { ...options, memoryLimit });
        expect(spread.annexes).toBeGreaterThan(0);
        expect(spread.notes).toContain(
          `matrices in ${spread.annexes + 1} memories, for want of room in one`,
        );
        expect(spread.logits).toEqual(logits);
      }
    },
  );

  it.each(['f32', 'bf16', 'q8_0', 'q4_0'] as const)(
    'adds the bias and takes outputs that are no whole panels: %s',
    async (dtype) => {
      const run = (options: WasmOptions) => {
        const backend = wasm(options);
        // Takes the share of memory 0.
        const first = backend.alloc('f32', 124 * 128, 128) as WasmBuffer;
        const second = backend.alloc(dtype, 45 * 64, 64) as WasmBuffer;
        backend.write(second, fromFloat32(numbers(7, 45 * 64), dtype));
        const weight = new Tensor(
          { kind: 'constant', dtype, shape: [45, 64], buffer: second, offset: 0 },
          backend,
        );
        return scope(backend, async (ops) => {
          const maker = makerFor(ops, `annex ${dtype}`);
          const y = ops.linear(maker.uniform([5, 64]), weight, maker.uniform([45]));
          const rows = ops.gather(weight, ops.tensor([44, 0, 7], [3], 'i32'));
          const result = [await y.read(), await rows.read()];
          return { annexes: [first.annex, second.annex], result };
        }).finally(() => backend.dispose());
      };
      const one = await run({ threads: 1 });
      const spread = await run({ threads: 2, memoryLimit: 2 ** 18 });
      expect(one.annexes).toEqual([0, 0]);
      expect(spread.annexes).toEqual([0, 1]);
      expect(spread.result).toEqual(one.result);
    },
  );
});

describe('a full memory', () => {
  const backendOf = () => wasm({ threads: 1, memoryLimit: 2 ** 20 });

  it('says what to reduce when caches do not fit', () => {
    using backend = backendOf();
    expect(() => backend.alloc('f32', 2 ** 19)).toThrow(
      'wasm: expected at most 1.0 MiB of caches, results, experts and a share of the other weights; reduce contextLength or maxRows, or the bits of experts, got 2.1 MiB',
    );
    expect(backend.alloc('f32', 2 ** 16).length).toBe(2 ** 16);
  });

  it('refuses a matrix that no memory holds', () => {
    using backend = backendOf();
    expect(() => backend.alloc('f32', 2 ** 20, 1024)).toThrow(
      'wasm: expected a matrix of at most 0.6 MiB, got 4.0 MiB; it cannot be spread over memories',
    );
  });

  it('gives back what a plan had taken when it does not fit', () => {
    using backend = backendOf();
    const plan = (rows: number) =>
      record((ops) => [
        ops.siluMul(ops.input('x', 'f32', [rows, 64]), ops.input('z', 'f32', [rows, 64])),
      ]);
    for (let round = 0; round < 100; round++) {
      expect(() => backend.prepare(plan(4096))).toThrow('reduce contextLength or maxRows');
      backend.prepare(plan(256)).dispose();
    }
  });

  it('refuses limits that are none', () => {
    expect(() => wasm({ memoryLimit: 1000 })).toThrow('wasm: memoryLimit: expected a whole number');
    expect(() => wasm({ memoryLimit: 2 ** 33 })).toThrow('wasm: memoryLimit: expected');
  });
});
