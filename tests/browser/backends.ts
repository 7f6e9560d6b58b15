// Every backend that runs in a page, with what its report must say after a run.
import type { Backend } from '../../src/kernels/backend.ts';
import { gpu } from '../../src/kernels/gpu/index.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';

export const BACKENDS: readonly {
  readonly name: string;
  readonly executor: string;
  /** Tokens that a test should ask for: software adapters take seconds for a few. */
  readonly tokens: number;
  open(): Backend | Promise<Backend>;
}[] = [
  {
    name: 'wasm',
    executor: 'relaxed SIMD, 1 thread',
    tokens: 64,
    open: () => wasm({ threads: 1, relaxed: true }),
  },
  {
    name: 'wasm with threads',
    executor: 'SIMD, 2 threads',
    tokens: 64,
    open: () => wasm({ threads: 2, relaxed: false }),
  },
  {
    name: 'gpu webasm',
    executor: 'webasm fused-sync',
    tokens: 64,
    open: () => gpu({ mode: 'webasm' }),
  },
  {
    name: 'gpu webgpu',
    executor: 'webgpu fused-encoder',
    tokens: 12,
    open: () => gpu({ mode: 'webgpu' }),
  },
  {
    name: 'gpu webgl2',
    executor: 'webgl2 chained',
    tokens: 12,
    open: () => gpu({ mode: 'webgl2' }),
  },
];
