// The gpu backend in a page, in every mode of GPU.js that runs in Chromium; WebGPU on its software adapter.
import { gpuMode } from '../kernels/gpu-mode.ts';

gpuMode({ mode: 'webasm' }, 'webasm fused-sync');
gpuMode({ mode: 'webgpu' }, 'webgpu fused-encoder');
gpuMode({ mode: 'webgl2' }, 'webgl2 chained');
