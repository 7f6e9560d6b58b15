// What is said about devices before gpu.js is asked, and which backend is taken for whoever does not choose. The adapters
// here are made up: real ones run in tests/browser.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { OptionError, UnsupportedError } from '../../src/kernels/errors.ts';
import { auto, gpu } from '../../src/kernels/gpu/index.ts';
import { record } from '../../src/tensor/record.ts';
import { Tensor } from '../../src/tensor/tensor.ts';

const limits = { maxStorageBufferBindingSize: 1024 };

/** WebGPU with one adapter. */
function offer(adapter: object | null): void {
  vi.stubGlobal('navigator', { gpu: { requestAdapter: async () => adapter } });
}

afterEach(() => vi.unstubAllGlobals());

describe('mode webgpu', () => {
  it('says what to install where there is no WebGPU', async () => {
    vi.stubGlobal('navigator', {});
    await expect(gpu({ mode: 'webgpu' })).rejects.toThrow(
      /expected navigator\.gpu, got none.*webgpu@0\.6\.2/,
    );
  });

  it('says that there is no adapter', async () => {
    offer(null);
    await expect(gpu({ mode: 'webgpu' })).rejects.toThrow('expected an adapter, got null');
  });

  it('names the device in the report, and whether it is software', async () => {
    offer({ limits, info: { vendor: 'acme', architecture: 'rocket', description: '' } });
    expect((await gpu({ mode: 'webgpu', raw: false, layout: 'rows' })).report.notes).toContain(
      'device: acme rocket',
    );
    offer({ limits, info: { vendor: 'acme', architecture: 'swiftshader' } });
    expect((await gpu({ mode: 'webgpu', raw: false, layout: 'rows' })).report.notes).toContain(
      'device: acme swiftshader, which is software',
    );
    offer({ limits, isFallbackAdapter: true });
    expect((await gpu({ mode: 'webgpu', raw: false, layout: 'rows' })).report.notes).toContain(
      'device: unnamed, which is software',
    );
  });

  it('takes WebGPU from the package it is given, where there is none', async () => {
    vi.stubGlobal('navigator', {});
    vi.stubGlobal('GPUMadeUp', undefined);
    const webgpu = {
      create: () => ({ requestAdapter: async () => ({ limits, info: { vendor: 'given' } }) }),
      globals: { GPUMadeUp: 1 },
    };
    expect(
      (await gpu({ mode: 'webgpu', raw: false, layout: 'rows', webgpu })).report.notes,
    ).toContain('device: given');
    expect((globalThis as { readonly GPUMadeUp?: number }).GPUMadeUp).toBe(1);
    await expect(gpu({ mode: 'webasm', webgpu })).rejects.toThrow(OptionError);
  });

  it('refuses arrays that the device does not take, by name', async () => {
    offer({ limits, info: {} });
    const backend = await gpu({ mode: 'webgpu', raw: false, layout: 'rows' });
    const planOf = (rows: number) => {
      const buffer = backend.alloc('f32', rows * 16);
      backend.write(buffer, new Float32Array(rows * 16));
      const weight = new Tensor(
        { kind: 'constant', dtype: 'f32', shape: [rows, 16], buffer, offset: 0 },
        backend,
      );
      return record((ops) => [ops.linear(ops.input('x', 'f32', [1, 16]), weight)]);
    };
    backend.prepare(planOf(16));
    expect(() => backend.prepare(planOf(17))).toThrow(
      'gpu: expected arrays of at most 1024 bytes, which is what the device takes, got a constant [17, 16] of 1088 bytes as f32',
    );
    backend.dispose();
  });
});

describe('mode webgl2', () => {
  /** WebGL 2 with textures of 64 by 64. */
  function offerContext(renderer: string): void {
    const context = {
      getParameter: (name: number) => (name === 0x0d33 ? 64 : renderer),
      getExtension: () => ({}),
    };
    vi.stubGlobal('WebGL2RenderingContext', class {});
    vi.stubGlobal(
      'OffscreenCanvas',
      class {
        getContext = () => context;
      },
    );
  }

  it('says that it needs a browser', async () => {
    await expect(gpu({ mode: 'webgl2' })).rejects.toThrow(UnsupportedError);
  });

  it('says that the browser gives no context', async () => {
    vi.stubGlobal('WebGL2RenderingContext', class {});
    vi.stubGlobal(
      'OffscreenCanvas',
      class {
        getContext = () => null;
      },
    );
    const opened = gpu({ mode: 'webgl2' });
    await expect(opened).rejects.toThrow('mode webgl2: expected a context, got null');
    await expect(opened).rejects.toThrow(UnsupportedError);
  });

  it('names the device, and refuses results that its textures do not take', async () => {
    offerContext('ANGLE (SwiftShader)');
    const backend = await gpu({ mode: 'webgl2' });
    expect(backend.report.notes).toContain('device: ANGLE (SwiftShader), which is software');
    const planOf = (outer: number) => {
      const buffer = backend.alloc('f32', outer * 16);
      const weight = new Tensor(
        { kind: 'constant', dtype: 'f32', shape: [outer, 16], buffer, offset: 0 },
        backend,
      );
      return record((ops) => [ops.linear(ops.input('x', 'f32', [4, 16], 'T'), weight)]);
    };
    expect(() => backend.prepare(planOf(64))).not.toThrow();
    expect(() => backend.prepare(planOf(65))).toThrow(
      'gpu: expected results of at most 64 rows and columns, which is what the device takes, got one of 4 rows and 68 columns',
    );
  });
});

describe('auto', () => {
  it('takes a device that is no software', async () => {
    offer({ limits, info: { vendor: 'acme' } });
    const backend = await auto({ layout: 'rows' });
    expect(backend.report.executor).toBe('webgpu, not run yet');
    expect(backend.report.notes.join()).not.toContain('passed over');
    backend.dispose();
  });

  it('passes over software for wasm, and says why', async () => {
    offer({ limits, info: { architecture: 'swiftshader' } });
    const backend = await auto({ wasm: { threads: 1 } });
    expect(backend.report.backend).toBe('wasm');
    expect(backend.report.notes[0]).toMatch(/^passed over: .*got software \(swiftshader\)$/);
    backend.dispose();
  });

  it('ends at cpu where nothing else runs', async () => {
    vi.stubGlobal('navigator', {});
    const { engine } = await import('../../src/kernels/wasm/engine.ts');
    const validate = vi.spyOn(engine, 'validate').mockReturnValue(false);
    const backend = await auto();
    validate.mockRestore();
    expect(backend.report.backend).toBe('cpu');
    expect(backend.report.notes.filter((note) => note.startsWith('passed over'))).toHaveLength(3);
    backend.dispose();
  });

  it('takes no option it does not have', async () => {
    await expect(auto({ mode: 'cpu' } as object)).rejects.toThrow(OptionError);
  });
});
