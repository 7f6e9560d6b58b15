// The gpu backend: a plan becomes one GPU.js pipeline. docs/gpujs.md says what GPU.js can do, and what it cannot.
import type { Backend } from '../backend.ts';
import { OptionError } from '../errors.ts';
import { createGpuBackend } from './backend.ts';
import { GPUJS_VERSION, type GpuMode, loadGpujs } from './gpujs.ts';

export type { GpuMode } from './gpujs.ts';

/** How GPU.js runs. */
export interface GpuOptions {
  /** `webasm` for speed; `cpu` runs the same kernels as plain JavaScript with float64 arithmetic, to compare. */
  readonly mode: GpuMode;
  /**
   * Workers for mode webasm (default false). GPU.js starts them only for plans with more than 4096 elements in a step,
   * and a step then costs a barrier: measure before turning it on.
   */
  readonly threads?: boolean;
}

/** The gpu backend over the optional package gpu.js. The mode is always said: GPU.js would choose one in silence. */
export async function gpu(options: GpuOptions): Promise<Backend> {
  const { mode, threads = false } = options;
  if (!['cpu', 'webasm', 'webgpu', 'webgl2'].includes(mode))
    throw new OptionError(`gpu: mode: expected cpu, webasm, webgpu or webgl2, got ${JSON.stringify(mode)}`);
  if (threads && mode === 'cpu')
    throw new OptionError('gpu: threads: expected mode webasm, got cpu, which has one thread');
  const { module, version } = await loadGpujs();
  const notes = [
    'every value is f32: weights in f16 and bf16 are widened, integers are exact up to 2^24',
    ...(threads
      ? ['plans whose steps are small run on one thread although threads were asked for']
      : []),
    ...(version === null
      ? [`the version of gpu.js could not be read; ${GPUJS_VERSION} is expected`]
      : []),
  ];
  return createGpuBackend(module, { mode, threads }, notes);
}
