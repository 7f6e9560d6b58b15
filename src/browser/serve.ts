// The worker's side: models live here, so that a page that shows their text never waits for them.
import type { Backend } from '../kernels/backend.ts';
import { cpu } from '../kernels/cpu/index.ts';
import { OptionError, UnsupportedError } from '../kernels/errors.ts';
import { type WasmOptions, wasm } from '../kernels/wasm/index.ts';
import { timeRows } from '../models/ladder.ts';
import { type LoadedModel, load } from '../models/load.ts';
import type { Drafter } from '../speculate/drafter.ts';
import { draftModel } from '../speculate/drafters/model.ts';
import { ngram } from '../speculate/drafters/ngram.ts';
import { none } from '../speculate/drafters/none.ts';
import { prediction } from '../speculate/drafters/prediction.ts';
import { sharedVocabulary } from '../speculate/drafters/shared-vocabulary.ts';
import { suffix } from '../speculate/drafters/suffix.ts';
import { generate } from '../speculate/generate.ts';
import { VERIFIER_NAMES, VERIFIERS } from '../speculate/verifiers/named.ts';
import { fileSource } from '../tensor/file-source.ts';
import { type FolderSource, memorySource } from '../tensor/source.ts';
import { urlSource } from '../tensor/url-source.ts';
import { packError } from './errors.ts';
import type {
  Answer,
  BackendChoice,
  CallName,
  Calls,
  DrafterChoice,
  Origin,
  Request,
} from './protocol.ts';
import { packRound } from './round.ts';
import { removeStored, storedModels, storedSource, storeModel } from './store.ts';

/** Opens a backend with the options that the page gave. */
export type OpenBackend = (options: object) => Backend | Promise<Backend>;

/** The worker's end of the line; the global scope of a dedicated worker is one. */
export interface Port {
  postMessage(message: Answer): void;
  onmessage: ((event: { readonly data: Request }) => void) | null;
}

/** Backends that need nothing but this package. */
const BACKENDS: Readonly<Record<string, OpenBackend>> = {
  wasm: (options) => wasm(options as WasmOptions),
  cpu: () => cpu(),
};

/** A call in progress. */
interface Line<Name extends CallName> {
  readonly signal: AbortSignal;
  send(event: Calls[Name]['event']): void;
}

type Handlers = {
  readonly [Name in CallName]: (
    params: Calls[Name]['params'],
    line: Line<Name>,
  ) => Promise<Calls[Name]['value']> | Calls[Name]['value'];
};

/** Answers the requests of a page. `backends` are offered beside `wasm` and `cpu`, by name. */
export function serve(port: Port, backends: Readonly<Record<string, OpenBackend>> = {}): void {
  const running = new Map<number, AbortController>();
  const handlers = createHandlers({ ...BACKENDS, ...backends });
  port.onmessage = async ({ data }) => {
    const { id } = data;
    if ('abort' in data) {
      running.get(id)?.abort(data.abort);
      return;
    }
    const controller = new AbortController();
    running.set(id, controller);
    const handler = handlers[data.call] as Handlers[CallName] as (
      params: unknown,
      line: Line<CallName>,
    ) => unknown;
    try {
      const line = {
        signal: controller.signal,
        send: (event: unknown) => port.postMessage({ id, event }),
      };
      port.postMessage({ id, value: await handler(data.params, line) });
    } catch (error) {
      port.postMessage({ id, error: packError(error) });
    } finally {
      running.delete(id);
    }
  };
}

function createHandlers(backends: Readonly<Record<string, OpenBackend>>): Handlers {
  const pool = createPool(backends);
  const models = new Map<
    number,
    { readonly loaded: LoadedModel; readonly drafters: Map<string, Drafter>; dispose(): void }
  >();
  let last = 0;
  const find = (model: number) => {
    const found = models.get(model);
    if (found === undefined)
      throw new Error('engine: expected a loaded model, got one that has been disposed');
    return found;
  };

  /** The same drafter for the same choice: what it has learnt about a text stays. */
  const drafterOf = (target: number, choice: DrafterChoice): Drafter => {
    const { drafters } = find(target);
    const key = JSON.stringify(choice);
    let drafter = drafters.get(key);
    if (drafter === undefined) {
      drafter = createDrafter(choice, find(target).loaded, (model) => find(model).loaded);
      drafters.set(key, drafter);
    }
    return drafter;
  };

  return {
    async load({ origin, options }, { signal, send }) {
      const { backend: choice, ...rest } = options;
      const lease = await pool.lease(choice ?? { name: 'wasm' }).catch((error) => {
        // `load` then has a backend for where there is no WebAssembly, and a note that says so.
        if (choice === undefined && error instanceof UnsupportedError) return undefined;
        throw error;
      });
      try {
        const loaded = await load(await sourceOf(origin), {
          ...rest,
          signal,
          ...(lease && { backend: lease.backend }),
          onProgress: send,
        });
        const { config, contextLength, report } = loaded.model;
        const model = ++last;
        const drafters = new Map<string, Drafter>();
        models.set(model, {
          loaded,
          drafters,
          dispose() {
            for (const drafter of drafters.values()) drafter.dispose?.();
            loaded.dispose();
            lease?.end();
          },
        });
        const { vocab, width, layers } = config;
        const parameters = { vocab, width, layers };
        return { model, loadMs: loaded.loadMs, report, parameters, contextLength };
      } catch (error) {
        lease?.end();
        throw error;
      }
    },

    async generate({ model, prompt, options, candidates }, { signal, send }) {
      const { drafter, verifier, ...rest } = options;
      if (verifier !== undefined && !(verifier in VERIFIERS))
        throw new OptionError(
          `generate: verifier: expected ${VERIFIER_NAMES.join(', ')}, got ${JSON.stringify(verifier)}`,
        );
      const { loaded } = find(model);
      const generation = generate(loaded, prompt, {
        ...rest,
        signal,
        ...(drafter && { drafter: drafterOf(model, drafter) }),
        ...(verifier && { verifier: VERIFIERS[verifier] }),
        ...(candidates !== null && {
          onRound: (round) => send({ round: packRound(round, loaded.tokenizer, candidates) }),
        }),
      });
      for await (const token of generation) send({ token });
      const { stats, ...result } = await generation.result;
      const { explain, ...figures } = stats;
      return { ...result, stats: figures, explanation: explain() };
    },

    store: async ({ name, origin }, { signal, send }) =>
      storeModel(name, await sourceOf(origin), { signal, onProgress: send }),
    stored: () => storedModels(),
    async removeStored({ name }) {
      await removeStored(name);
      return null;
    },

    encode: ({ model, text, options }) => find(model).loaded.tokenizer.encode(text, options),
    report: ({ model }) => find(model).loaded.model.report,
    ladder: ({ model, ...options }, { signal }) =>
      timeRows(find(model).loaded.model, { ...options, signal }),

    dispose({ model }) {
      models.get(model)?.dispose();
      models.delete(model);
      return null;
    },
  };
}

async function sourceOf(origin: Origin): Promise<FolderSource> {
  if ('url' in origin)
    return urlSource(origin.url, origin.headers ? { headers: origin.headers } : {});
  if ('stored' in origin) return storedSource(origin.stored);
  if ('files' in origin) return fileSource(origin.files, origin.name);
  return memorySource(origin.memory, origin.name);
}

/** A backend that a model may use until it is disposed. */
interface Lease {
  readonly backend: Backend;
  end(): void;
}

/**
 * Models that ask for the same backend get the same one, so that a target and its drafter share their threads instead of
 * waiting for each other's. It goes with its last model; a device that was lost is thus opened anew.
 */
function createPool(backends: Readonly<Record<string, OpenBackend>>): {
  lease(choice: BackendChoice): Promise<Lease>;
} {
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

function createDrafter(
  choice: DrafterChoice,
  target: LoadedModel,
  find: (model: number) => LoadedModel,
): Drafter {
  if (choice.kind === 'none') return none();
  if (choice.kind === 'ngram') {
    const { kind: _, ...options } = choice;
    return ngram(options);
  }
  if (choice.kind === 'suffix') {
    const { kind: _, ...options } = choice;
    return suffix(options);
  }
  if (choice.kind === 'prediction') {
    const { kind: _, ...options } = choice;
    return prediction(options);
  }
  const { kind: _, model, ...options } = choice;
  const draft = find(model);
  return draftModel(draft.model, { ...options, vocabulary: sharedVocabulary(draft, target) });
}
