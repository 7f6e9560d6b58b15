// The gpu backend in a page, in every mode of GPU.js that runs in Chromium, and in both layouts of products on its software
// adapters.
import { gpuMode } from '../kernels/gpu-mode.ts';

gpuMode({ mode: 'webasm' }, 'webasm fused-sync');
gpuMode({ mode: 'webgpu' }, 'webgpu fused-encoder');
gpuMode({ mode: 'webgl2' }, 'webgl2 chained');
gpuMode({ mode: 'webgpu', layout: 'lanes' }, 'webgpu fused-encoder');
gpuMode({ mode: 'webgl2', layout: 'lanes' }, 'webgl2 chained');
