// What gpu.js needs of a device, looked at before it is asked: an error that says what is missing is worth more than its own.
import { UnsupportedError } from '../errors.ts';

/** The part of WebGPU's adapters that is used. */
interface Adapter {
  readonly info?: {
    readonly vendor?: string;
    readonly architecture?: string;
    readonly description?: string;
    readonly isFallbackAdapter?: boolean;
  };
  readonly isFallbackAdapter?: boolean;
  readonly limits: { readonly maxStorageBufferBindingSize: number };
}

interface WebgpuScope {
  readonly navigator?: { readonly gpu?: { requestAdapter(): Promise<Adapter | null> } };
}

/** The package `webgpu` (Dawn) for Node, version 0.6: what `await import('webgpu')` gives. */
export interface WebgpuPackage {
  create(options: readonly string[]): object;
  readonly globals: Readonly<Record<string, unknown>>;
}

/** The device of a mode. */
export interface DeviceInfo {
  /** For the report. */
  readonly name: string;
  /** A software adapter: correct, and slower than WebAssembly. */
  readonly software: boolean;
  /** Bytes an array may have. */
  readonly maxBytes: number;
  /** Rows and columns that a result may have. */
  readonly maxSide: number;
}

/** The adapter gpu.js will get; throws an UnsupportedError where there is none. `given` is installed where WebGPU is missing. */
export async function webgpuDevice(given?: WebgpuPackage): Promise<DeviceInfo> {
  const scope = globalThis as WebgpuScope;
  if (scope.navigator?.gpu === undefined && given !== undefined) install(given);
  const { gpu } = scope.navigator ?? {};
  if (gpu === undefined)
    throw new UnsupportedError(
      'gpu: mode webgpu: expected navigator.gpu, got none; take a browser that has it, or in Node install webgpu@0.6.2 and give it: ' +
        "gpu({ mode: 'webgpu', webgpu: await import('webgpu') })",
    );
  const adapter = await gpu.requestAdapter();
  if (adapter === null)
    throw new UnsupportedError(
      'gpu: mode webgpu: expected an adapter, got null; there is no usable graphics device or driver',
    );
  const { vendor = '', architecture = '', description = '' } = adapter.info ?? {};
  const fallback = adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false;
  return {
    name: [vendor, architecture, description].filter((word) => word !== '').join(' ') || 'unnamed',
    software: fallback || isSoftware(architecture + description),
    maxBytes: adapter.limits.maxStorageBufferBindingSize,
    maxSide: Number.POSITIVE_INFINITY,
  };
}

/** Gives this process WebGPU; once, because a second instance would not know the devices of the first. */
function install({ create, globals }: WebgpuPackage): void {
  Object.assign(globalThis, globals);
  const known = (globalThis as { readonly navigator?: object }).navigator;
  const gpu = create([]);
  if (known !== undefined) Object.defineProperty(known, 'gpu', { value: gpu, configurable: true });
  else
    Object.defineProperty(globalThis, 'navigator', {
      value: { gpu },
      configurable: true,
      writable: true,
    });
}

/** The part of a WebGL context that is used, with the numbers that WebGL has for its questions. */
interface WebglContext {
  getParameter(name: number): unknown;
  getExtension(name: string): { loseContext?(): void } | null;
}
const MAX_TEXTURE_SIZE = 0x0d33;
const UNMASKED_RENDERER = 0x9246;

/** The device behind WebGL 2; throws an UnsupportedError where it is missing, or where the browser gives no context of it. */
export function webgl2Device(): DeviceInfo {
  const { OffscreenCanvas } = globalThis as {
    readonly OffscreenCanvas?: new (
      width: number,
      height: number,
    ) => { getContext(kind: string): WebglContext | null };
  };
  if (!('WebGL2RenderingContext' in globalThis) || OffscreenCanvas === undefined)
    throw new UnsupportedError('gpu: mode webgl2: expected a browser with WebGL 2, got none');
  const context = new OffscreenCanvas(1, 1).getContext('webgl2');
  if (context === null)
    throw new UnsupportedError(
      'gpu: mode webgl2: expected a context, got null; there is no usable graphics device or driver',
    );
  const maxSide = Number(context.getParameter(MAX_TEXTURE_SIZE));
  const named = context.getExtension('WEBGL_debug_renderer_info') !== null;
  const name = String((named && context.getParameter(UNMASKED_RENDERER)) || 'unnamed');
  // Browsers give a page a few contexts only.
  context.getExtension('WEBGL_lose_context')?.loseContext?.();
  // Four numbers of 4 bytes a texel.
  return { name, software: isSoftware(name), maxBytes: 16 * maxSide ** 2, maxSide };
}

const isSoftware = (name: string) => /software|swiftshader|llvmpipe|lavapipe/i.test(name);
