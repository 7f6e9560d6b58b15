// What a page and its worker say to each other. Types only; everything here survives a structured clone.
import type { BackendReport } from '../kernels/backend.ts';
import type { LoadOptions, LoadProgress } from '../models/load.ts';
import type { LadderPoint } from '../models/model.ts';
import type { EncodeOptions } from '../models/tokenizer.ts';
import type { NgramOptions } from '../speculate/drafters/ngram.ts';
import type { PredictionOptions } from '../speculate/drafters/prediction.ts';
import type { ShapeOptions } from '../speculate/drafters/shapes.ts';
import type { SuffixOptions } from '../speculate/drafters/suffix.ts';
import type { GenerateResult, Prompt, Token } from '../speculate/generate.ts';
import type { GenerateOptions } from '../speculate/options.ts';
import type { SpeculatorOptions } from '../speculate/speculators/loaded.ts';
import type { ProposalName } from '../speculate/speculators/proposal.ts';
import type { VerifierName } from '../speculate/verifiers/named.ts';
import type { PageFile } from '../tensor/file-source.ts';
import type { RoundData } from './round.ts';
import type { StoredModel, StoreProgress } from './store.ts';

/** Where a model or a speculator comes from: a folder behind a URL, files given to the page, the browser's storage, or files in memory. */
export type Origin =
  | { readonly url: string; readonly headers?: Readonly<Record<string, string>> }
  | { readonly files: readonly PageFile[]; readonly name?: string }
  | { readonly stored: string }
  | { readonly memory: Readonly<Record<string, Uint8Array | string>>; readonly name?: string };

/** Options of a load in the worker; `backend` names one that the worker has, by default the fastest. */
export type RemoteLoadOptions = Omit<LoadOptions, 'backend' | 'onProgress' | 'signal'> & {
  readonly backend?: BackendChoice;
};

/** A backend by its name among those of the worker, with options of its own. */
export interface BackendChoice {
  readonly name: string;
  readonly options?: object;
}

/** Options of loading a speculator in the worker. */
export type RemoteSpeculatorOptions = Pick<SpeculatorOptions, 'dtype'>;

/** One shape of a draft as data; `best` reads the target's own ladder. */
export type ShapeChoice = Omit<ShapeOptions, 'best'> & {
  readonly best?: true | { readonly width?: number | undefined } | undefined;
};

/** A draft model, by its number. */
export interface ModelChoice extends ShapeChoice {
  readonly kind: 'model';
  readonly model: number;
}

/**
 * A speculator, by its number, with one of its proposal methods (by default the one that its config names) or a shape; `confidence`
 * is that of a chain.
 */
export interface SpeculatorChoice extends ShapeChoice {
  readonly kind: 'speculator';
  readonly speculator: number;
  readonly proposal?: ProposalName | undefined;
  readonly confidence?: number | undefined;
}

/** Who drafts. */
export type DrafterChoice =
  | { readonly kind: 'none' }
  | ({ readonly kind: 'ngram' } & NgramOptions)
  | ({ readonly kind: 'suffix' } & SuffixOptions)
  | ({ readonly kind: 'prediction' } & PredictionOptions)
  | ModelChoice
  | SpeculatorChoice;

/** Options of a generation in the worker. */
export type RemoteGenerateOptions = Omit<
  GenerateOptions,
  'drafter' | 'verifier' | 'session' | 'signal' | 'onRound'
> & {
  readonly drafter?: DrafterChoice;
  readonly verifier?: VerifierName;
};

/** What the page knows of a model in the worker. */
export interface LoadedInfo {
  readonly model: number;
  readonly loadMs: number;
  readonly report: BackendReport;
  readonly parameters: { readonly vocab: number; readonly width: number; readonly layers: number };
  readonly contextLength: number;
}

/** What the page knows of a speculator in the worker. */
export interface SpeculatorInfo {
  readonly speculator: number;
  /** Its `speculators_model_type`. */
  readonly algorithm: string;
  /** What a user should know. */
  readonly notes: readonly string[];
  /** The proposal methods of its config; the one that it names is the default. */
  readonly proposals: readonly {
    readonly type: ProposalName;
    /** What a user of this one should know, as that it is lossy. */
    readonly notes: readonly string[];
  }[];
  readonly defaultProposal: ProposalName;
}

/** A result without its function, and what the function says. */
export interface ResultData extends Omit<GenerateResult, 'stats'> {
  readonly stats: Omit<GenerateResult['stats'], 'explain'>;
  readonly explanation: string;
}

/** What can be asked of the worker: parameters, events on the way, and the answer. */
export interface Calls {
  load: {
    readonly params: { readonly origin: Origin; readonly options: RemoteLoadOptions };
    readonly event: LoadProgress;
    readonly value: LoadedInfo;
  };
  loadSpeculator: {
    readonly params: {
      readonly origin: Origin;
      /** The model that it drafts for. */
      readonly verifier: number;
      readonly options: RemoteSpeculatorOptions;
    };
    readonly event: LoadProgress;
    readonly value: SpeculatorInfo;
  };
  generate: {
    readonly params: {
      readonly model: number;
      readonly prompt: Prompt;
      readonly options: RemoteGenerateOptions;
      /** Candidates of every law in the rounds that are sent; null sends none. */
      readonly candidates: number | null;
    };
    readonly event: { readonly token: Token } | { readonly round: RoundData };
    readonly value: ResultData;
  };
  store: {
    readonly params: { readonly name: string; readonly origin: Origin };
    readonly event: StoreProgress;
    readonly value: StoredModel;
  };
  stored: {
    readonly params: null;
    readonly event: never;
    readonly value: readonly StoredModel[];
  };
  removeStored: {
    readonly params: { readonly name: string };
    readonly event: never;
    readonly value: null;
  };
  encode: {
    readonly params: {
      readonly model: number;
      readonly text: string;
      readonly options?: EncodeOptions | undefined;
    };
    readonly event: never;
    readonly value: readonly number[];
  };
  report: {
    readonly params: { readonly model: number };
    readonly event: never;
    readonly value: BackendReport;
  };
  ladder: {
    readonly params: {
      readonly model: number;
      readonly rows: readonly number[];
      readonly turns?: number | undefined;
    };
    readonly event: never;
    readonly value: readonly LadderPoint[];
  };
  dispose: {
    readonly params: { readonly model: number };
    readonly event: never;
    readonly value: null;
  };
  disposeSpeculator: {
    readonly params: { readonly speculator: number };
    readonly event: never;
    readonly value: null;
  };
}

export type CallName = keyof Calls;

/** From the page. */
export type Request =
  | { readonly id: number; readonly call: CallName; readonly params: unknown }
  | { readonly id: number; readonly abort: unknown };

/** From the worker. */
export type Answer =
  | { readonly id: number; readonly event: unknown }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: ErrorData };

/** An error as it crosses; its class is found by name. */
export interface ErrorData {
  readonly name: string;
  readonly message: string;
  readonly cause?: ErrorData;
}
