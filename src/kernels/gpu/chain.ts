// A lowered plan as a chain of kernels, each with a texture of its own, for modes in which a pipeline would lose its states:
// cells that a kernel does not return hold garbage there, so the kernel of a state copies what was there in the run before. A
// texture cannot be read while it is written: a state has two kernels that take turns.
import { UnsupportedError } from '../errors.ts';
import type { GpuKernel, GpuModule, GpuTexture } from './gpujs.ts';
import type { KernelCall, Lowered } from './lowered.ts';
import { argumentShape, type CompiledPlan, gridArray, type PipelineOptions } from './pipeline.ts';
import type { GridSource } from './programs.ts';

/** Makes the kernels of a plan; `dataOf` gives constant `index` as f32. The first run compiles them. */
export function compileChain(
  module: GpuModule,
  lowered: Lowered,
  { mode }: PipelineOptions,
  dataOf: (index: number) => Float32Array,
): CompiledPlan {
  const gpu = new module.GPU({ mode });
  const constants = lowered.constants.map(({ shape }, index) =>
    gridArray(module, dataOf(index), shape),
  );
  const kernelOf = (source: string, size: KernelCall['size'], used: readonly number[]) =>
    gpu.createKernel<GpuTexture>(source, {
      output: size,
      constants: Object.fromEntries(used.map((index) => [`c${index}`, constants[index]])),
      loopMaxIterations: lowered.loopLimit,
      pipeline: true,
      precision: 'single',
    });
  const states = new Map(lowered.states.map((state) => [state.call, state]));
  const kernels = lowered.calls.map(({ source, size, constants: used }, index) =>
    Array.from({ length: states.has(index) ? 2 : 1 }, () => kernelOf(source, size, used)),
  );
  let executor: string | null = null;
  let turn = 0;
  let before: readonly GpuTexture[] | null = null;

  /** States as they are before the first run. */
  const initial = (): GpuTexture[] => {
    const textures: GpuTexture[] = [];
    for (const { call, initial: index } of lowered.states) {
      const { size } = lowered.calls[call];
      const element =
        index === null ? '0' : `this.constants.c${index}[this.thread.y][this.thread.x]`;
      const kernel = kernelOf(
        `function () { return ${element}; }`,
        size,
        index === null ? [] : [index],
      );
      textures[call] = kernel();
    }
    return textures;
  };

  return {
    get executor() {
      return executor;
    },
    async run(arrays, scalars) {
      const inputs = arrays.map((data, index) =>
        gridArray(module, data, argumentShape(lowered.arguments[index])),
      );
      before ??= initial();
      const done: GpuTexture[] = [];
      const textureOf = ({ kind, index }: GridSource) => {
        if (kind === 'previous') return before![index];
        return kind === 'call' ? done[index] : inputs[index];
      };
      for (const [index, call] of lowered.calls.entries()) {
        const kernel = kernels[index][turn % kernels[index].length];
        done.push(
          kernel(
            ...call.arrays.map(({ source }) => textureOf(source)),
            ...call.scalars.map((name) => scalars[name]),
          ),
        );
        if (turn < 2) checkKernel(kernel);
      }
      turn++;
      before = done;
      executor = `${mode} chained`;
      const results = lowered.results.map(({ call }) => done[call].toArray());
      // Draw calls on a lost context do nothing, and what is read back then is no result.
      if (kernels[0]?.[0].kernel.context?.isContextLost?.())
        throw new Error('gpu: the WebGL context is lost');
      return results;
    },
    destroy() {
      gpu.destroy().catch(() => {});
    },
  };
}

function checkKernel({ kernel }: GpuKernel<GpuTexture>): void {
  const { mode } = kernel.constructor;
  if (mode !== 'gpu' || kernel.fallbackReason != null)
    throw new UnsupportedError(
      `gpu: expected webgl2, got ${mode} (${kernel.fallbackReason ?? 'no reason given'})`,
    );
}
