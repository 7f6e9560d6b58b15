// The gpu backend: a plan becomes one GPU.js pipeline. docs/gpujs.md says what GPU.js can do, and what it cannot.
export { type AutoOptions, auto } from './auto.ts';
export type { WebgpuPackage } from './device.ts';
export type { GpuMode } from './gpujs.ts';
export { type GpuOptions, gpu } from './open.ts';
export type { Layout } from './project.ts';
