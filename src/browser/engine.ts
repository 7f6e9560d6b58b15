// The page's side: models that live in a worker, with the same calls as in the worker itself.
import type { BackendReport } from '../kernels/backend.ts';
import { OptionError } from '../kernels/errors.ts';
import type { LoadProgress } from '../models/load.ts';
import type { LadderPoint } from '../models/model.ts';
import type { EncodeOptions } from '../models/tokenizer.ts';
import type { Generation, Prompt } from '../speculate/generate.ts';
import { remoteGeneration } from './generation.ts';
import { type Ask, createLine, type EngineWorker } from './line.ts';
import type {
  DrafterChoice,
  LoadedInfo,
  ModelChoice,
  Origin,
  RemoteGenerateOptions,
  RemoteLoadOptions,
  RemoteSpeculatorOptions,
  SpeculatorChoice,
  SpeculatorInfo,
} from './protocol.ts';
import type { RoundData } from './round.ts';
import type { StoredModel, StoreProgress } from './store.ts';

export type { EngineWorker } from './line.ts';

/** Who drafts; models and speculators as the engine gave them. */
export type EngineDrafter =
  | Exclude<DrafterChoice, ModelChoice | SpeculatorChoice>
  | (Omit<ModelChoice, 'model'> & { readonly model: RemoteModel })
  | (Omit<SpeculatorChoice, 'speculator'> & { readonly speculator: RemoteSpeculator });

/** Options of `RemoteModel.generate`: as for `generate`, with drafters and verifiers by name. */
export type EngineGenerateOptions = Omit<RemoteGenerateOptions, 'drafter'> & {
  readonly drafter?: EngineDrafter;
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
  /** Frees it, the speculators that were loaded for it, and what others have to draft with it; ends what runs on it. */
  dispose(): Promise<void>;
}

/** A speculator in the worker, for the model that it was loaded for. */
export interface RemoteSpeculator extends Omit<SpeculatorInfo, 'speculator'> {
  /** Frees it, which its model's `dispose` does, too. */
  dispose(): Promise<void>;
}

/** Loads models and speculators into one worker. */
export interface Engine {
  /** Errors are those of `load`. */
  load(
    origin: Origin,
    options?: RemoteLoadOptions & {
      readonly onProgress?: (progress: LoadProgress) => void;
      readonly signal?: AbortSignal;
    },
  ): Promise<RemoteModel>;
  /**
   * Loads a speculator for a model of this engine, on that model's backend. Errors are those of `Speculator.fromPretrained`.
   */
  loadSpeculator(
    origin: Origin,
    options: RemoteSpeculatorOptions & {
      readonly verifier: RemoteModel;
      readonly onProgress?: (progress: LoadProgress) => void;
      readonly signal?: AbortSignal;
    },
  ): Promise<RemoteSpeculator>;
  /** Copies a model or a speculator into the browser's storage under a name, from where `{ stored: name }` loads it. */
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

/** What one engine has handed out, by the worker's numbers, which the page has no other use for. */
interface Numbers {
  readonly models: WeakMap<RemoteModel, number>;
  readonly speculators: WeakMap<RemoteSpeculator, number>;
}

/** An engine over a worker that serves (`serve`). */
export function connect(worker: EngineWorker): Engine {
  const { ask, close } = createLine(worker);
  const numbers: Numbers = { models: new WeakMap(), speculators: new WeakMap() };
  return {
    async load(origin, { onProgress, signal, ...options } = {}) {
      const params = { origin: resolved(origin), options };
      const { model, ...info } = await ask('load', params, { onEvent: onProgress, signal });
      const remote = remoteModel(ask, numbers, model, info);
      numbers.models.set(remote, model);
      return remote;
    },
    async loadSpeculator(origin, { verifier: remote, onProgress, signal, ...options }) {
      const verifier = numberOf(
        numbers.models,
        remote,
        'loadSpeculator: verifier: expected a model',
      );
      const params = { origin: resolved(origin), verifier, options };
      const line = { onEvent: onProgress, signal };
      const { speculator, ...info } = await ask('loadSpeculator', params, line);
      const loaded: RemoteSpeculator = {
        ...info,
        async dispose() {
          await ask('disposeSpeculator', { speculator });
        },
      };
      numbers.speculators.set(loaded, speculator);
      return loaded;
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

function remoteModel(
  ask: Ask,
  numbers: Numbers,
  model: number,
  info: Omit<LoadedInfo, 'model'>,
): RemoteModel {
  return {
    ...info,
    generate: (prompt, { signal, drafter, onRound, candidates = 8, ...options } = {}) =>
      remoteGeneration(async (onToken, stop) =>
        ask(
          'generate',
          {
            model,
            prompt,
            options: { ...options, ...(drafter && { drafter: choiceOf(drafter, numbers) }) },
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
}

function choiceOf(drafter: EngineDrafter, { models, speculators }: Numbers): DrafterChoice {
  const where = 'generate: drafter: expected';
  if (drafter.kind === 'model')
    return { ...drafter, model: numberOf(models, drafter.model, `${where} a model`) };
  if (drafter.kind === 'speculator') {
    const speculator = numberOf(speculators, drafter.speculator, `${where} a speculator`);
    return { ...drafter, speculator };
  }
  return drafter;
}

/** The worker's number of something; throws an OptionError for what another engine, or nobody, has handed out. */
function numberOf<Remote extends object>(
  numbers: WeakMap<Remote, number>,
  remote: Remote,
  expected: string,
): number {
  const number = numbers.get(remote);
  if (number === undefined) throw new OptionError(`${expected} of this engine, got another object`);
  return number;
}
