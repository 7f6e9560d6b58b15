// The backend for whoever does not want to choose: a graphics device where there is a real one, else the fastest on the CPU.
import type { Backend } from '../backend.ts';
import { cpu } from '../cpu/index.ts';
import { OptionError, UnsupportedError } from '../errors.ts';
import { type WasmOptions, wasm } from '../wasm/index.ts';
import { type WebgpuPackage, webgpuDevice } from './device.ts';
import { gpu } from './open.ts';
import type { Layout } from './project.ts';

/** Options of `auto`. */
export interface AutoOptions {
  /** The package `webgpu`, for Node. */
  readonly webgpu?: WebgpuPackage;
  /** Of products on a graphics device, should one be taken. */
  readonly layout?: Layout;
  /** Options of the wasm backend, should it be taken. */
  readonly wasm?: WasmOptions;
}

/**
 * Opens the first that runs here: `webgpu` unless its adapter is software, `wasm`, `webgl2`, `cpu`. The notes of the report
 * say what was passed over, and why.
 */
export async function auto(options: AutoOptions = {}): Promise<Backend> {
  const { webgpu, layout, wasm: wasmOptions, ...unknown } = options;
  for (const key of Object.keys(unknown))
    throw new OptionError(`auto: expected webgpu, layout and wasm, got ${key}`);
  const tries: readonly (() => Backend | Promise<Backend>)[] = [
    async () => {
      const device = await webgpuDevice(webgpu);
      if (device.software)
        throw new UnsupportedError(
          `gpu: mode webgpu: expected a graphics device, got software (${device.name})`,
        );
      return gpu({ mode: 'webgpu', layout });
    },
    () => wasm(wasmOptions),
    () => gpu({ mode: 'webgl2', layout }),
  ];
  const passed: string[] = [];
  for (const open of tries) {
    try {
      return withNotes(await open(), passed);
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error;
      passed.push(`passed over: ${error.message}`);
    }
  }
  return withNotes(cpu(), passed);
}

function withNotes(backend: Backend, notes: readonly string[]): Backend {
  return Object.defineProperty({ ...backend }, 'report', {
    enumerable: true,
    get: () => ({ ...backend.report, notes: [...notes, ...backend.report.notes] }),
  });
}
