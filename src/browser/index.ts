// Models in a page, off its main thread: one file with nothing to import, the worker and the WebAssembly inside.
import { connect, type Engine, type EngineWorker } from './engine.ts';
import { workerSource } from './worker-source.ts';

export { FormatError, OptionError, ShapeError, UnsupportedError } from '../kernels/errors.ts';
export {
  connect,
  type Engine,
  type EngineDrafter,
  type EngineGenerateOptions,
  type EngineWorker,
  type RemoteModel,
  type RemoteSpeculator,
} from './engine.ts';
export type {
  BackendChoice,
  DrafterChoice,
  Origin,
  RemoteLoadOptions,
  RemoteSpeculatorOptions,
  ShapeChoice,
} from './protocol.ts';
export type { Candidate, ChoiceData, NodeData, Outcome, RoundData, Runner } from './round.ts';
export type { StoredModel, StoreProgress } from './store.ts';

/**
 * Starts a worker for models. The page must allow workers from `blob:` URLs; for a page that does not, or for backends of
 * GPU.js, write a worker file of your own (`serve` of `foretoken/browser/worker`) and give it to `connect`.
 */
export function createEngine(): Engine {
  const url = URL.createObjectURL(new Blob([workerSource], { type: 'text/javascript' }));
  const { Worker } = globalThis as unknown as {
    readonly Worker: new (url: string, options: object) => EngineWorker;
  };
  const worker = new Worker(url, { name: 'foretoken' });
  // The worker has its program; the URL would keep half a megabyte.
  URL.revokeObjectURL(url);
  return connect(worker);
}
