// What a model is to everything above it: rows in, logits out, and a cache that holds prefixes. Types only.
import type { BackendReport } from '../kernels/backend.ts';
import type { DecoderConfig } from './config.ts';

/**
 * The cached prefix of one token sequence: an ordered list of slots in its cache, one per position. Nothing ever
 * moves: truncating or keeping a path only changes which slots the list names.
 */
export interface Sequence {
  /** Positions held. */
  readonly length: number;
  /** Forgets every position from `length` on, and any drafted rows. Throws when that is not possible. */
  truncate(length: number): void;
  /**
   * Makes drafted rows of the last forward part of the prefix: `path` are indices into that draft, each a child of
   * the one before. The other drafted rows are forgotten.
   */
  keep(path: readonly number[]): void;
  /** Gives the slots back to the cache. */
  free(): void;
}

/** Key/value storage for every layer, shared by sequences. */
export interface Cache {
  /** Rows it can hold over all sequences, drafted rows included. */
  readonly slots: number;
  readonly freeSlots: number;
  /** Layers whose hidden states come with every forward; 0 is the embedding, i the output of layer i - 1. */
  readonly taps: readonly number[];
  /** Forwards choose the most probable token of every row themselves; see `ForwardResult`. */
  readonly argmax: boolean;
  sequence(): Sequence;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** The rows of one sequence in one forward: tokens that extend the prefix, then drafted rows that may follow it. */
export interface Segment {
  readonly sequence: Sequence;
  /** Appended to the prefix. */
  readonly tokens: readonly number[];
  /** Computed after `tokens`, cached only until the next call unless `Sequence.keep` names them. */
  readonly draft?: {
    readonly tokens: readonly number[];
    /** parents[i] < i is the drafted row before row i, -1 the last of the prefix; absent for a chain. */
    readonly parents?: readonly number[] | undefined;
    /**
     * Drafted rows see each other, as a block that is filled in at once; their places are one after the other. Layers with a
     * window count it from the first of them.
     */
    readonly mutual?: boolean;
  };
  /** One f32 [width] per row (of `tokens` then `draft`), for models that take a state with every token, as draft heads do. */
  readonly states?: readonly Float32Array[];
  /** Rows (of `tokens` then `draft`, ascending) that get logits; by default the last token and every drafted row. */
  readonly keep?: readonly number[];
}

/** Results for the kept rows, in the order of segments and of `keep`. */
export interface ForwardResult {
  /**
   * f32 [V] per kept row. With a cache of `argmax`, ln p of the most probable token, the lowest of equals, and -Infinity for all
   * others: enough for greedy decoding, and a backend on a device need not give back a vocabulary.
   */
  readonly logits: readonly Float32Array[];
  /** f32 [taps * C] per kept row; empty arrays without taps. */
  readonly hidden: readonly Float32Array[];
}

/** Options of a forward. */
export interface ForwardOptions {
  readonly signal?: AbortSignal | undefined;
  /** An array of so many numbers for logits, which nobody reads any more; by default a new one. */
  readonly place?: ((length: number) => Float32Array) | undefined;
}

/** A measured number of rows. */
export interface LadderPoint {
  readonly rows: number;
  /** Milliseconds of a forward of so many rows, the estimate of now. */
  readonly ms: number;
  /** Forwards it rests on. */
  readonly samples: number;
}

/** What a forward costs by its number of rows, each with logits; kept current by every forward. */
export interface Ladder {
  /** Counts one forward. */
  add(rows: number, ms: number): void;
  /** Milliseconds of a forward: measured, or between and beyond what was measured; undefined before any measurement. */
  ms(rows: number): number | undefined;
  /** Ascending in rows, and in milliseconds. */
  points(): readonly LadderPoint[];
}

/** A decoder with its weights on one backend. */
export interface Model {
  readonly config: DecoderConfig;
  readonly report: BackendReport;
  /** Positions a sequence can have: the file's limit, or less when asked for at load. */
  readonly contextLength: number;
  /** Rows one recorded plan takes; longer forwards run it several times. */
  readonly maxRows: number;
  /** The times of its own forwards. */
  readonly ladder: Ladder;
  createCache(options?: {
    readonly slots?: number;
    readonly taps?: readonly number[];
    readonly argmax?: boolean;
  }): Cache;
  /**
   * One call for prefill, decoding and verification: any number of rows of any number of sequences. Row t's result
   * depends on the tokens it may see, bit for bit, and on nothing else in the call.
   */
  forward(
    cache: Cache,
    segments: readonly Segment[],
    options?: ForwardOptions,
  ): Promise<ForwardResult>;
  dispose(): void;
  [Symbol.dispose](): void;
}
