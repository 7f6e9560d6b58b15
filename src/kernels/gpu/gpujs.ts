// The one place that touches the gpu.js package: our own types for the part of 2.24.1 that is used, because the typings of
// the package miss half of it. docs/gpujs.md has the rules that the rest of this folder follows.
import { UnsupportedError } from '../errors.ts';

/** What the backend was built and tested against; it rests on behaviour that other versions do not promise. */
export const GPUJS_VERSION = '2.24.1';

/** The modes this backend runs. */
export type GpuMode = 'cpu' | 'webasm' | 'webgpu' | 'webgl2';

/** A flat array with its width and height. */
export type GpuArray = { readonly size: readonly number[] };

/** What a kernel call gives while a pipeline is traced. */
export type GpuHandle = { readonly handle: never };

/** What a kernel call gives outside a pipeline, where its settings say `pipeline`: the texture that it wrote. */
export interface GpuTexture {
  toArray(): readonly Float32Array[];
}

export type GpuArgument = GpuArray | GpuHandle | GpuTexture | number;

/** A kernel: called while a pipeline is traced it gives a handle, outside one its result. */
export interface GpuKernel<Result = GpuHandle> {
  (...args: readonly GpuArgument[]): Result;
  /** What was compiled for it; known after the first call. */
  readonly kernel: {
    readonly constructor: { readonly mode?: string };
    readonly fallbackReason?: string | null;
    /** In GL modes. */
    readonly context?: { isContextLost?(): boolean };
  };
}

export interface GpuKernelSettings {
  readonly output: readonly [number, number];
  readonly constants: Readonly<Record<string, GpuArray>>;
  readonly loopMaxIterations: number;
  /** Keep the result on the device. */
  readonly pipeline?: boolean;
  /** Numbers of 32 bits, which GL modes would otherwise pack into bytes. */
  readonly precision?: 'single';
}

/** A compiled pipeline: rows of every result, in order. */
export interface GpuPipeline {
  (...args: readonly (GpuArray | number)[]): Promise<readonly (readonly Float32Array[])[]>;
  readonly backend: string | null;
  readonly executorKind: string;
  readonly fallbackReason: string | null;
  readonly plan: { readonly steps: readonly { readonly outputBuffer: number }[] } | null;
}

/** One engine with its kernels and pipelines. */
export interface GpuInstance {
  createKernel<Result = GpuHandle>(source: string, settings: GpuKernelSettings): GpuKernel<Result>;
  createPipeline(
    trace: (...args: readonly GpuHandle[]) => readonly GpuHandle[],
    settings: { readonly threads: boolean },
  ): GpuPipeline;
  /** A function in the language of the device that kernels may call. */
  addNativeFunction(
    name: string,
    source: string,
    settings: {
      readonly argumentTypes: Readonly<Record<string, 'Number'>>;
      readonly returnType: 'Number';
    },
  ): void;
  destroy(): Promise<void>;
}

/** The exports that are used. */
export interface GpuModule {
  readonly GPU: new (settings: { readonly mode: GpuMode }) => GpuInstance;
  input(data: Float32Array, size: readonly [number, number]): GpuArray;
}

/** The package, and its version where it can be read (bundlers may hide it). */
export async function loadGpujs(): Promise<{
  readonly module: GpuModule;
  readonly version: string | null;
}> {
  const imported: object = await import('gpu.js').catch((cause: unknown) => {
    throw new UnsupportedError(
      `gpu: expected the optional package gpu.js, which cannot be imported; install it with ` +
        `"npm install --omit=optional gpu.js@${GPUJS_VERSION}"`,
      { cause },
    );
  });
  const version = await readVersion();
  if (version !== null && version !== GPUJS_VERSION)
    throw new UnsupportedError(`gpu: expected gpu.js ${GPUJS_VERSION}, got ${version}`);
  const exports = 'GPU' in imported ? imported : (imported as { readonly default: object }).default;
  return { module: exports as unknown as GpuModule, version };
}

async function readVersion(): Promise<string | null> {
  try {
    const file = await import('gpu.js/package.json', { with: { type: 'json' } });
    return (file.default as { readonly version: string }).version;
  } catch {
    return null;
  }
}
