// The benches that run in a page, and the backends there.
import { type GpuMode, gpu, type Layout } from '../../src/kernels/gpu/index.ts';
import { type Backend, cpu } from '../../src/kernels/index.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { decode } from '../decode.ts';
import { kernels } from '../kernels.ts';
import type { BenchOptions } from '../measure.ts';
import { verifyCost } from '../verify-cost.ts';

export const PAGE_BENCHES = { kernels, 'verify-cost': verifyCost, decode };
export const PAGE_BACKENDS: Readonly<
  Record<string, (options: BenchOptions) => Backend | Promise<Backend>>
> = {
  cpu: () => cpu(),
  wasm: ({ threads }) => wasm({ threads }),
  'wasm-simd': ({ threads }) => wasm({ relaxed: false, threads }),
  ...Object.fromEntries(
    (['webgpu', 'webgl2', 'webasm'] satisfies GpuMode[]).map((mode) => [
      `gpu-${mode}`,
      ({ layout }: { readonly layout: Layout | undefined }) => gpu({ mode, layout }),
    ]),
  ),
};
