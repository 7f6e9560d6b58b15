// A lowered plan as one gpu.js pipeline: weights are kernel constants, the rest of the rules are in docs/gpujs.md. Nothing
// is taken on trust: after every run the pipeline must say that what was asked for is what ran.
import { UnsupportedError } from '../errors.ts';
import type { GpuArray, GpuHandle, GpuKernel, GpuMode, GpuModule, GpuPipeline } from './gpujs.ts';
import type { ArgumentSource, KernelCall, Lowered } from './lowered.ts';
import { type GridSource, gridSize, type Scalar } from './programs.ts';
import type { Layout } from './project.ts';
import { RAW_FUNCTIONS } from './raw.ts';

/** Which executor, and how. */
export interface PipelineOptions {
  readonly mode: GpuMode;
  readonly threads: boolean;
  /** How products are spread over threads. */
  readonly layout: Layout;
  /** Weights keep the bits of their file where they can. */
  readonly raw: boolean;
  /** Bytes an array may have on the device. */
  readonly maxBytes: number;
  /** Rows and columns that a result may have there. */
  readonly maxSide: number;
}

/** A pipeline that has been traced; the first run compiles it. */
export interface CompiledPlan {
  /** What ran, e.g. `webasm fused-sync`; null before the first run. */
  readonly executor: string | null;
  /** Rows of every result. Runs must not overlap. */
  run(
    arrays: readonly Float32Array[],
    scalars: Readonly<Record<Scalar, number>>,
  ): Promise<readonly (readonly Float32Array[])[]>;
  destroy(): void;
}

const SCALARS: readonly Scalar[] = ['T', 'K', 'first'];

/** A flat array as the grid of a shape, padded with zeros. */
export function gridArray(
  module: GpuModule,
  data: Float32Array,
  shape: readonly number[],
): GpuArray {
  const { width, height } = gridSize(shape);
  const size = width * height;
  return module.input(data.length === size ? data : new Float32Array(size), [width, height]);
}

const EXECUTORS: Readonly<Record<Exclude<GpuMode, 'webgl2'>, readonly string[]>> = {
  cpu: ['generic'],
  webasm: ['fused-sync', 'fused-threaded'],
  webgpu: ['fused-encoder'],
};

/** Shape of the array an argument carries. */
export const argumentShape = (source: ArgumentSource): readonly number[] =>
  source.kind === 'input' ? source.input.shape : source.table.shape.with(0, source.index.shape[0]);

/** Makes the kernels and the pipeline of a plan; `dataOf` gives constant `index` as f32. */
export function compilePlan(
  module: GpuModule,
  lowered: Lowered,
  options: PipelineOptions,
  dataOf: (index: number) => Float32Array,
): CompiledPlan {
  // An instance of its own: gpu.js forgets kernels of mode cpu only together with their instance.
  const gpu = new module.GPU({ mode: options.mode });
  if (options.raw)
    for (const { name, source } of RAW_FUNCTIONS)
      gpu.addNativeFunction(name, source, {
        argumentTypes: { word: 'Number' },
        returnType: 'Number',
      });
  const arrayOf = (data: Float32Array, shape: readonly number[]) => gridArray(module, data, shape);
  const constants = lowered.constants.map(({ shape }, index) => arrayOf(dataOf(index), shape));
  const kernels = new Map<string, GpuKernel>();
  // Layers of one model share kernels: equal text, shape and constants are one kernel.
  const kernelOf = ({ source, size, constants: used }: KernelCall): GpuKernel => {
    const key = `${size.join()}:${source}`;
    let kernel = kernels.get(key);
    if (kernel === undefined) {
      kernel = gpu.createKernel(source, {
        output: size,
        constants: Object.fromEntries(used.map((index) => [`c${index}`, constants[index]])),
        loopMaxIterations: lowered.loopLimit,
      });
      kernels.set(key, kernel);
    }
    return kernel;
  };
  const scalarAt = (name: Scalar) => lowered.arguments.length + SCALARS.indexOf(name);
  const trace = (...args: readonly GpuHandle[]): readonly GpuHandle[] => {
    const done: GpuHandle[] = [];
    const handleOf = ({ kind, index }: GridSource) => (kind === 'call' ? done[index] : args[index]);
    for (const call of lowered.calls) {
      const arrays = call.arrays.map(({ source }) => handleOf(source));
      const scalars = call.scalars.map((name) => args[scalarAt(name)]);
      done.push(kernelOf(call)(...arrays, ...scalars));
    }
    return lowered.results.map(({ call }) => done[call]);
  };
  // gpu.js takes the number of arguments from the length of the function.
  Object.defineProperty(trace, 'length', { value: lowered.arguments.length + SCALARS.length });
  const pipeline = gpu.createPipeline(trace, { threads: options.threads });
  let executor: string | null = null;
  let plan: GpuPipeline['plan'] = null;
  return {
    get executor() {
      return executor;
    },
    async run(arrays, scalars) {
      const inputs = arrays.map((data, index) =>
        arrayOf(data, argumentShape(lowered.arguments[index])),
      );
      const results = await pipeline(...inputs, ...SCALARS.map((name) => scalars[name]));
      checkExecutor(pipeline, options.mode);
      if (plan === null) checkStates(pipeline, lowered);
      else if (plan !== pipeline.plan)
        throw new Error('internal: gpu.js compiled the plan again and lost its states');
      plan = pipeline.plan;
      executor = `${options.mode} ${pipeline.executorKind}`;
      return results;
    },
    destroy() {
      // Queued behind the run in progress; there is nothing to do about a failure to free.
      gpu.destroy().catch(() => {});
    },
  };
}

function checkExecutor(
  { backend, executorKind, fallbackReason }: GpuPipeline,
  mode: GpuMode,
): void {
  if (mode === 'webgl2') throw new Error('internal: webgl2 has no pipeline');
  // Mode cpu has one executor and always gives a reason for it.
  const reason = mode === 'cpu' ? null : fallbackReason;
  if (backend !== mode || !EXECUTORS[mode].includes(executorKind) || reason !== null)
    throw new UnsupportedError(
      `gpu: expected ${mode} ${EXECUTORS[mode].join(' or ')}, got ${backend} ${executorKind} (${fallbackReason})`,
    );
}

function checkStates({ plan }: GpuPipeline, { states, calls }: Lowered): void {
  if (plan?.steps.length !== calls.length)
    throw new Error('internal: gpu.js runs another number of steps than the plan has');
  for (const { call } of states) {
    const { outputBuffer } = plan.steps[call];
    if (plan.steps.filter((step) => step.outputBuffer === outputBuffer).length !== 1)
      throw new Error('internal: gpu.js gave the buffer of a state to another step');
  }
}
