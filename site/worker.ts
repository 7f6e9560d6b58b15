// The worker in which the models live: the backends of the package, and those of GPU.js, which is fetched when one is asked for.
import { type Port, serve } from '../src/browser/serve.ts';
import type { GpuMode } from '../src/kernels/gpu/gpujs.ts';
import { auto, gpu } from '../src/kernels/gpu/index.ts';

const modes: readonly GpuMode[] = ['webgpu', 'webgl2', 'webasm'];

serve(globalThis as unknown as Port, {
  auto: () => auto(),
  ...Object.fromEntries(modes.map((mode) => [mode, () => gpu({ mode })])),
});
