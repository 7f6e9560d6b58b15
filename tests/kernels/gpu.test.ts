// The gpu backend in Node: every mode that runs there, its threads, and what it says about the package.
import { availableParallelism } from 'node:os';
import { describe, expect, it, vi } from 'vitest';
import { OptionError } from '../../src/kernels/errors.ts';
import { type GpuOptions, gpu } from '../../src/kernels/gpu/index.ts';
import { scope } from '../../src/tensor/scope.ts';
import { gpuMode } from './gpu-mode.ts';
import { numbers } from './toy.ts';

gpuMode({ mode: 'cpu' }, 'cpu generic');
gpuMode({ mode: 'webasm' }, 'webasm fused-sync');
gpuMode({ mode: 'webasm', layout: 'lanes' }, 'webasm fused-sync');

describe('gpu', () => {
  it.skipIf(availableParallelism() < 2)(
    'runs on threads when asked to and when a step is large',
    async () => {
      const outer = 2 * 4096 + 2;
      const compute = async (options: GpuOptions) => {
        const backend = await gpu(options);
        const data = await scope(backend, async (ops) =>
          ops
            .linear(
              ops.tensor(numbers(1, 3 * 8), [3, 8]),
              ops.tensor(numbers(2, outer * 8), [outer, 8]),
            )
            .read(),
        );
        const { executor } = backend.report;
        backend.dispose();
        return { data, executor };
      };
      const threaded = await compute({ mode: 'webasm', threads: true });
      expect(threaded.executor).toBe('webasm fused-threaded');
      expect(threaded.data).toEqual((await compute({ mode: 'webasm' })).data);
    },
  );

  it('takes no mode by default and no option it does not have', async () => {
    await expect(gpu({ mode: 'async' as 'cpu' })).rejects.toThrow(OptionError);
    await expect(gpu({ mode: 'cpu', threads: true })).rejects.toThrow(OptionError);
    await expect(gpu({ mode: 'cpu', layout: 'columns' as 'rows' })).rejects.toThrow(
      'gpu: layout: expected rows or lanes',
    );
  });

  it('says how to install the package when it is missing, and which version it takes', async () => {
    const again = async () => {
      vi.resetModules();
      return (await import('../../src/kernels/gpu/index.ts')).gpu({ mode: 'cpu' });
    };
    vi.doMock('gpu.js', () => {
      throw new Error('no such package');
    });
    await expect(again()).rejects.toThrow(/npm install --omit=optional gpu\.js@2\.24\.1/);
    vi.doUnmock('gpu.js');
    vi.doMock('gpu.js/package.json', () => ({ default: { version: '2.25.0' } }));
    await expect(again()).rejects.toThrow(/expected gpu\.js 2\.24\.1, got 2\.25\.0/);
    vi.doUnmock('gpu.js/package.json');
    expect((await again()).report.notes.join()).not.toContain('could not be read');
  });
});
