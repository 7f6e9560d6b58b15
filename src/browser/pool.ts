// The backends of a worker, opened when a model asks for one.
import type { Backend } from '../kernels/backend.ts';
import { cpu } from '../kernels/cpu/index.ts';
import { OptionError } from '../kernels/errors.ts';
import { type WasmOptions, wasm } from '../kernels/wasm/index.ts';
import type { BackendChoice } from './protocol.ts';

/** Opens a backend with the options that the page gave. */
export type OpenBackend = (options: object) => Backend | Promise<Backend>;

/** Backends that need nothing but this package. */
export const BACKENDS: Readonly<Record<string, OpenBackend>> = {
  wasm: (options) => wasm(options as WasmOptions),
  cpu: () => cpu(),
};

/** A backend that a model may use until it is disposed. */
export interface Lease {
  readonly backend: Backend;
  end(): void;
}

/** Backends by choice. */
export interface Pool {
  lease(choice: BackendChoice): Promise<Lease>;
}

/**
 * Models that ask for the same backend get the same one, so that a target and its drafter share their threads instead of
 * waiting for each other's. It goes with its last model; a device that was lost is thus opened anew.
 */
export function createPool(backends: Readonly<Record<string, OpenBackend>>): Pool {
  const open = new Map<string, { readonly backend: Promise<Backend>; users: number }>();
  return {
    async lease(choice) {
      const key = JSON.stringify(choice);
      const entry = open.get(key) ?? { backend: openBackend(backends, choice), users: 0 };
      open.set(key, entry);
      entry.users += 1;
      const leave = () => {
        entry.users -= 1;
        if (entry.users > 0) return false;
        open.delete(key);
        return true;
      };
      try {
        const backend = await entry.backend;
        return {
          backend,
          end() {
            if (leave()) backend.dispose();
          },
        };
      } catch (error) {
        leave();
        throw error;
      }
    },
  };
}

async function openBackend(
  backends: Readonly<Record<string, OpenBackend>>,
  { name, options = {} }: BackendChoice,
): Promise<Backend> {
  const open = Object.hasOwn(backends, name) ? backends[name] : undefined;
  if (open === undefined)
    throw new OptionError(
      `load: backend: expected ${Object.keys(backends).join(', ')}, got ${JSON.stringify(name)}`,
    );
  return open(options);
}
