// Opens the gpu backend: its options, the device, the package.
import type { Backend } from '../backend.ts';
import { OptionError } from '../errors.ts';
import { createGpuBackend } from './backend.ts';
import { type DeviceInfo, type WebgpuPackage, webgl2Device, webgpuDevice } from './device.ts';
import { GPUJS_VERSION, type GpuMode, loadGpujs } from './gpujs.ts';
import { DEVICE_TRIAL, fasterLayout, layoutNote } from './layouts.ts';
import type { Layout } from './project.ts';
import { rawWorks } from './raw-trial.ts';

/** How GPU.js runs. */
export interface GpuOptions {
  /**
   * - `webgpu`: a graphics device, in browsers and, with the package `webgpu`, in Node.
   * - `webgl2`: a graphics device of a browser without WebGPU; every step is a draw call.
   * - `webasm`: WebAssembly that GPU.js makes.
   * - `cpu`: the same kernels as plain JavaScript with float64 arithmetic, to compare.
   */
  readonly mode: GpuMode;
  /**
   * Workers for mode webasm (default false). GPU.js starts them only for plans with more than 4096 elements in a step,
   * and a step then costs a barrier: measure before turning it on.
   */
  readonly threads?: boolean;
  /**
   * How products with weights are spread over threads: `rows`, one thread per output, or `lanes`, 32 that share one. By default
   * what a trial of some milliseconds says on a graphics device, and `rows` elsewhere, where it is the faster one.
   * Results differ in their last bits: name it where they have to be the same on every device.
   */
  readonly layout?: Layout;
  /**
   * Mode webgpu: whether weights stay with the bits of their file, a quarter to a half of the memory of f32. By default where a trial
   * shows that the device leaves such bits alone; false takes the way of the other modes.
   */
  readonly raw?: boolean;
  /** The package `webgpu` for mode webgpu in Node; used where `navigator.gpu` is missing. */
  readonly webgpu?: WebgpuPackage;
}

const MODES: readonly string[] = ['cpu', 'webasm', 'webgpu', 'webgl2'] satisfies readonly GpuMode[];

const UNLIMITED = { maxBytes: Number.POSITIVE_INFINITY, maxSide: Number.POSITIVE_INFINITY };

/** The device of the modes that have one. */
async function deviceOf(
  mode: GpuMode,
  webgpu: WebgpuPackage | undefined,
): Promise<DeviceInfo | null> {
  if (mode === 'webgpu') return webgpuDevice(webgpu);
  return mode === 'webgl2' ? webgl2Device() : null;
}

/**
 * The gpu backend over the optional package gpu.js. The mode is always said: GPU.js would choose one in silence. Throws an
 * UnsupportedError where the package or the device is missing.
 */
export async function gpu(options: GpuOptions): Promise<Backend> {
  const { mode, threads = false, layout, raw, webgpu } = options;
  if (!MODES.includes(mode))
    throw new OptionError(
      `gpu: mode: expected ${MODES.slice(0, -1).join(', ')} or ${MODES.at(-1)}, got ${JSON.stringify(mode)}`,
    );
  if (threads && mode !== 'webasm')
    throw new OptionError(
      `gpu: threads: expected mode webasm, got ${mode}, which has one thread of its own`,
    );
  if (layout !== undefined && !['rows', 'lanes'].includes(layout))
    throw new OptionError(`gpu: layout: expected rows or lanes, got ${JSON.stringify(layout)}`);
  if (raw && mode !== 'webgpu')
    throw new OptionError(`gpu: raw: expected mode webgpu, got ${mode}, which has no raw bits`);
  if (webgpu !== undefined && mode !== 'webgpu')
    throw new OptionError(`gpu: webgpu: expected mode webgpu, got ${mode}`);
  const device = await deviceOf(mode, webgpu);
  const { module, version } = await loadGpujs();
  const notes: string[] = [];
  const { maxBytes, maxSide } = device ?? UNLIMITED;
  const open = (given: Layout, bits: boolean) =>
    createGpuBackend(module, { mode, threads, maxBytes, maxSide, layout: given, raw: bits }, notes);
  const trial =
    mode === 'webgpu' && raw === undefined ? await tryRaw(() => open('rows', true)) : null;
  const bits = trial === null ? raw === true : trial.works;
  notes.push(
    `every value is f32: ${bits ? 'weights keep the bits of their file' : 'weights in f16 and bf16 are widened, of blocks three bytes or six halves share one'}; integers are exact up to 2^24`,
    ...(trial?.note ?? []),
    ...(device === null
      ? []
      : [`device: ${device.name}${device.software ? ', which is software' : ''}`]),
    ...(threads
      ? ['plans whose steps are small run on one thread although threads were asked for']
      : []),
    ...(version === null
      ? [`the version of gpu.js could not be read; ${GPUJS_VERSION} is expected`]
      : []),
  );
  if (layout !== undefined || device === null || device.software)
    return open(layout ?? 'rows', bits);
  const found = await fasterLayout((each) => open(each, bits), DEVICE_TRIAL);
  notes.push(layoutNote(found.layout, found.times));
  return open(found.layout, bits);
}

/** Whether raw bits work on the device, and a note where they do not. */
async function tryRaw(
  open: () => Backend,
): Promise<{ readonly works: boolean; readonly note: readonly string[] }> {
  try {
    if (await rawWorks(open())) return { works: true, note: [] };
    return { works: false, note: ['weights do not keep their bits: the device changes some'] };
  } catch (error) {
    const { message, cause } = error as Error;
    const why = cause instanceof Error ? cause.message : message;
    return { works: false, note: [`weights do not keep their bits: the trial failed (${why})`] };
  }
}
