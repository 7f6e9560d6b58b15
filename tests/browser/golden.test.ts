// Every fixture in a page on every backend that runs there, read from a URL in ranges.
import { describe, expect, inject, it } from 'vitest';
import type { Backend } from '../../src/kernels/backend.ts';
import { gpu } from '../../src/kernels/gpu/index.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { loadModel } from '../../src/models/load.ts';
import { urlSource } from '../../src/tensor/url-source.ts';
import { checkCase, type GoldenCase } from '../models/golden-case.ts';

const BACKENDS: readonly {
  readonly name: string;
  readonly executor: string;
  open(): Backend | Promise<Backend>;
}[] = [
  {
    name: 'wasm',
    executor: 'relaxed SIMD, 1 thread',
    open: () => wasm({ threads: 1, relaxed: true }),
  },
  {
    name: 'wasm with threads',
    executor: 'SIMD, 2 threads',
    open: () => wasm({ threads: 2, relaxed: false }),
  },
  { name: 'gpu webasm', executor: 'webasm fused-sync', open: () => gpu({ mode: 'webasm' }) },
  { name: 'gpu webgpu', executor: 'webgpu fused-encoder', open: () => gpu({ mode: 'webgpu' }) },
];

describe.each(BACKENDS)('$name in a page', ({ executor, open }) => {
  it.each(inject('fixtures'))(
    'gives the logits, states and greedy tokens of $name',
    async ({ folder, golden }) => {
      const answer = await fetch(golden);
      const { cases } = (await answer.json()) as { readonly cases: readonly GoldenCase[] };
      const backend = await open();
      const model = await loadModel(urlSource(folder), { backend });
      for (const each of cases) await checkCase(model, each);
      expect(model.report.executor).toBe(executor);
      model.dispose();
      backend.dispose();
    },
  );
});
