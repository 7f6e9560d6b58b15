// The page's side: models that live in a worker, with the same calls as in the worker itself.
import type { BackendReport } from '../kernels/backend.ts';
import { OptionError } from '../kernels/errors.ts';
import type { LoadProgress } from '../models/load.ts';
import type { LadderPoint } from '../models/model.ts';
import type { EncodeOptions } from '../models/tokenizer.ts';
import { deferred } from '../speculate/deferred.ts';
import type { GenerateResult, Generation, Prompt, Token } from '../speculate/generate.ts';
import { unpackError } from './errors.ts';
import type {
  Answer,
  CallName,
  Calls,
  DrafterChoice,
  LoadedInfo,
  Origin,
  RemoteGenerateOptions,
  RemoteLoadOptions,
  Request,
  ResultData,
} from './protocol.ts';
import type { RoundData } from './round.ts';
import type { StoredModel, StoreProgress } from './store.ts';

/** The part of a `Worker` that is used. */
export interface EngineWorker {
  postMessage(message: Request): void;
  terminate(): void;
  onmessage: ((event: { readonly data: Answer }) => void) | null;
  onerror: ((event: { readonly message?: string; preventDefault?(): void }) => void) | null;
}

/** Options of `RemoteModel.generate`: as for `generate`, with drafters and verifiers by name. */
export type EngineGenerateOptions = Omit<RemoteGenerateOptions, 'drafter'> & {
  readonly drafter?:
    | Exclude<DrafterChoice, { readonly kind: 'model' }>
    | {
        readonly kind: 'model';
        readonly model: RemoteModel;
        readonly branching?: readonly number[];
      };
  readonly signal?: AbortSignal;
  /** Called after every round with what happened in it, before its tokens; `candidates` (default 8) of every law. */
  readonly onRound?: (round: RoundData) => void;
  readonly candidates?: number;
};

/** A model in the worker. */
export interface RemoteModel extends Omit<LoadedInfo, 'model'> {
  /** As `generate`: await it for the result or iterate it for the tokens; nothing starts before. */
  generate(prompt: Prompt, options?: EngineGenerateOptions): Generation;
  /** The ids of a text. */
  encode(text: string, options?: EncodeOptions): Promise<readonly number[]>;
  /** What really runs, as it is now. */
  currentReport(): Promise<BackendReport>;
  /** Medians of the times of forwards of so many rows each, measured now in `turns` (default 7) turns: what checking costs. */
  ladder(
    rows: readonly number[],
    options?: { readonly turns?: number; readonly signal?: AbortSignal },
  ): Promise<readonly LadderPoint[]>;
  /** Frees it. Models that draft for others have to outlive them. */
  dispose(): Promise<void>;
}

/** Loads models into one worker. */
export interface Engine {
  /** Errors are those of `load`. */
  load(
    origin: Origin,
    options?: RemoteLoadOptions & {
      readonly onProgress?: (progress: LoadProgress) => void;
      readonly signal?: AbortSignal;
    },
  ): Promise<RemoteModel>;
  /** Copies a model into the browser's storage under a name, from where `{ stored: name }` loads it. */
  store(
    name: string,
    origin: Origin,
    options?: {
      readonly onProgress?: (progress: StoreProgress) => void;
      readonly signal?: AbortSignal;
    },
  ): Promise<StoredModel>;
  /** What is stored. */
  stored(): Promise<readonly StoredModel[]>;
  removeStored(name: string): Promise<void>;
  /** Ends the worker and whatever it is doing. */
  dispose(): void;
  [Symbol.dispose](): void;
}

type Ask = <Name extends CallName>(
  call: Name,
  params: Calls[Name]['params'],
  line?: {
    readonly onEvent?: ((event: Calls[Name]['event']) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
  },
) => Promise<Calls[Name]['value']>;

interface Pending {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  onEvent?: ((event: never) => void) | undefined;
}

/** Numbers of models, which the page has no other use for. */
const numbers = new WeakMap<RemoteModel, number>();

/** An engine over a worker that serves (`serve`). */
export function connect(worker: EngineWorker): Engine {
  const { ask, close } = createLine(worker);
  return {
    async load(origin, { onProgress, signal, ...options } = {}) {
      const params = { origin: resolved(origin), options };
      const info = await ask('load', params, { onEvent: onProgress, signal });
      return remoteModel(ask, info);
    },
    store: (name, origin, { onProgress, signal } = {}) =>
      ask('store', { name, origin: resolved(origin) }, { onEvent: onProgress, signal }),
    stored: () => ask('stored', null),
    async removeStored(name) {
      await ask('removeStored', { name });
    },
    dispose: close,
    [Symbol.dispose]: close,
  };
}

/** A URL is relative to the page, which a worker from a `blob:` URL does not know. */
function resolved(origin: Origin): Origin {
  const page = (globalThis as { readonly location?: { readonly href: string } }).location?.href;
  return 'url' in origin && URL.canParse(origin.url, page)
    ? { ...origin, url: new URL(origin.url, page).href }
    : origin;
}

/** Requests with their answers, and one end for all when the worker is gone. */
function createLine(worker: EngineWorker): { readonly ask: Ask; close(): void } {
  const pending = new Map<number, Pending>();
  let last = 0;
  let gone: Error | null = null;
  const end = (why: string) => {
    gone ??= new Error(`engine: ${why}; make a new one`);
    for (const { reject } of pending.values()) reject(gone);
    pending.clear();
    worker.terminate();
  };
  worker.onerror = (event) => {
    event.preventDefault?.();
    end(`the worker ended (${event.message || 'it could not be started'})`);
  };
  worker.onmessage = ({ data }) => {
    const call = pending.get(data.id);
    if (call === undefined) return;
    if ('event' in data) return call.onEvent?.(data.event as never);
    pending.delete(data.id);
    if ('error' in data) call.reject(unpackError(data.error));
    else call.resolve(data.value);
  };
  const ask: Ask = (call, params, { onEvent, signal } = {}) =>
    new Promise<never>((resolve, reject) => {
      if (gone !== null) throw gone;
      signal?.throwIfAborted();
      const id = ++last;
      try {
        worker.postMessage({ id, call, params });
      } catch (error) {
        throw new OptionError(
          `engine: ${call}: expected options that can be sent to a worker, got ${(error as Error).message}`,
        );
      }
      const abort = () => worker.postMessage({ id, abort: reasonOf(signal) });
      signal?.addEventListener('abort', abort, { once: true });
      const finish = () => signal?.removeEventListener('abort', abort);
      pending.set(id, {
        resolve(value) {
          finish();
          resolve(value as never);
        },
        reject(error) {
          finish();
          // The reason itself, not a copy.
          reject(signal?.aborted && error !== gone ? signal.reason : error);
        },
        onEvent,
      });
    });
  return { ask, close: () => end('it has been disposed') };
}

/** A reason that can be sent. */
function reasonOf(signal: AbortSignal | undefined): string {
  return signal?.reason instanceof Error ? signal.reason.message : String(signal?.reason);
}

function remoteModel(ask: Ask, { model, ...info }: LoadedInfo): RemoteModel {
  const remote: RemoteModel = {
    ...info,
    generate: (prompt, { signal, drafter, onRound, candidates = 8, ...options } = {}) =>
      remoteGeneration((onToken, stop) =>
        ask(
          'generate',
          {
            model,
            prompt,
            options: { ...options, ...(drafter && { drafter: choiceOf(drafter) }) },
            candidates: onRound === undefined ? null : candidates,
          },
          {
            onEvent(event) {
              if ('token' in event) onToken(event.token);
              else onRound?.(event.round);
            },
            signal: signal ? AbortSignal.any([signal, stop]) : stop,
          },
        ),
      ),
    encode: (text, options) => ask('encode', { model, text, options }),
    currentReport: () => ask('report', { model }),
    ladder: (rows, { turns, signal } = {}) => ask('ladder', { model, rows, turns }, { signal }),
    async dispose() {
      await ask('dispose', { model });
    },
  };
  numbers.set(remote, model);
  return remote;
}

function choiceOf(drafter: NonNullable<EngineGenerateOptions['drafter']>): DrafterChoice {
  if (drafter.kind !== 'model') return drafter;
  const model = numbers.get(drafter.model);
  if (model === undefined)
    throw new OptionError('generate: drafter: expected a model of an engine, got another object');
  return { ...drafter, model };
}

/** The tokens as they come, and the result in the end; `start` is called by the first who wants either. */
function remoteGeneration(
  start: (onEvent: (token: Token) => void, stop: AbortSignal) => Promise<ResultData>,
): Generation {
  const stop = new AbortController();
  const tokens: Token[] = [];
  let wake = () => {};
  const { promise: result, resolve: settle, reject: fail } = deferred<GenerateResult>();
  let over = false;
  let begun = false;
  const begin = () => {
    if (begun) return;
    begun = true;
    start((token) => {
      tokens.push(token);
      wake();
    }, stop.signal)
      .then(({ stats, explanation, ...rest }) =>
        settle({ ...rest, stats: { ...stats, explain: () => explanation } }),
      )
      .catch(fail)
      .finally(() => {
        over = true;
        wake();
      });
  };
  let iterated = false;
  return {
    result,
    // biome-ignore lint/suspicious/noThenProperty: awaitable and iterable by design
    then(onResult, onError) {
      begin();
      return result.then(onResult, onError);
    },
    async *[Symbol.asyncIterator]() {
      if (iterated)
        throw new OptionError('generate: expected one consumer, got a second iteration');
      iterated = true;
      begin();
      try {
        while (true) {
          const token = tokens.shift();
          if (token !== undefined) yield token;
          else if (over) break;
          else
            await new Promise<void>((done) => {
              wake = done;
            });
        }
        await result;
      } finally {
        if (!over) stop.abort(new Error('nobody listens any more'));
      }
    },
  };
}
