// The gpu backend in a page, in every mode of GPU.js that runs in Chromium, and in both layouts of products on its software
// adapters. On WebGPU weights keep the bits of their file, which must change no bit of a result.
import { describe, expect, it } from 'vitest';
import { fromFloat32 } from '../../src/kernels/dtype.ts';
import { type GpuOptions, gpu } from '../../src/kernels/gpu/index.ts';
import type { DType } from '../../src/kernels/plan.ts';
import { scope } from '../../src/tensor/scope.ts';
import { gpuMode } from '../kernels/gpu-mode.ts';
import { numbers } from '../kernels/toy.ts';

gpuMode({ mode: 'webasm' }, 'webasm fused-sync');
gpuMode({ mode: 'webgpu' }, 'webgpu fused-encoder');
gpuMode({ mode: 'webgl2' }, 'webgl2 chained');
gpuMode({ mode: 'webgpu', layout: 'lanes', raw: true }, 'webgpu fused-encoder');
gpuMode({ mode: 'webgl2', layout: 'lanes' }, 'webgl2 chained');

describe('raw weights on webgpu', () => {
  it('are taken because the device leaves bits alone, which the report says', async () => {
    const backend = await gpu({ mode: 'webgpu' });
    expect(backend.report.notes[0]).toContain('weights keep the bits of their file');
    backend.dispose();
    const pure = await gpu({ mode: 'webgpu', raw: false });
    expect(pure.report.notes[0]).toContain('of blocks three bytes or six halves share one');
    pure.dispose();
    await expect(gpu({ mode: 'webasm', raw: true })).rejects.toThrow(
      'gpu: raw: expected mode webgpu',
    );
  });

  it.each(['q8_0', 'q4_0', 'bf16', 'f16', 'f32'] as const)(
    'give the bits that packed or widened ones give in %s',
    async (dtype: DType) => {
      const product = async (options: Omit<GpuOptions, 'mode'>) => {
        const backend = await gpu({ mode: 'webgpu', ...options });
        const result = await scope(backend, (ops) => {
          const weight = ops.tensor(fromFloat32(numbers(5, 40 * 96), dtype), [40, 96], dtype);
          return ops.linear(ops.tensor(numbers(6, 3 * 96), [3, 96]), weight).read();
        });
        backend.dispose();
        return result;
      };
      const expected = await product({ raw: false, layout: 'rows' });
      expect(await product({ raw: true, layout: 'rows' })).toEqual(expected);
      const lanes = await product({ raw: true, layout: 'lanes' });
      for (const [at, value] of expected.entries()) expect(lanes[at]).toBeCloseTo(value, 4);
    },
  );
});
