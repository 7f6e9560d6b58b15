// A session is one text on one model. `feed` is the only verb: it computes what is not cached and forgets what no longer
// matches, so that prefill, decoding, verification, rollback and catching up are the same call.
import { OptionError } from '../kernels/errors.ts';
import type { Cache, ForwardOptions, Model, Sequence } from '../models/model.ts';
import type { Company, Controller } from './controller.ts';
import type { Drafter } from './drafter.ts';
import { slotsFor } from './limits.ts';

/** What a feed gives back. */
export interface Fed {
  /** f32 [V] after the text (0) and after each drafted node i (1 + i); with a cache of `argmax` as `ForwardResult` has them. */
  readonly logits: readonly Float32Array[];
  /** With taps: f32 [taps * C] for every row computed, those of the text first; otherwise empty. */
  readonly hidden: readonly Float32Array[];
  /** Position of the first row computed; the text before it was cached. */
  readonly from: number;
  /** Rows computed, those of the draft included. */
  readonly computedRows: number;
}

/** Tokens to compute after a text, as `Draft` has them; whatever laws they come with. */
export interface Nodes {
  readonly tokens: readonly { readonly token: number }[];
  readonly parents?: readonly number[] | undefined;
}

/** Where a session runs its forwards. */
export interface GateSeat {
  readonly forward: Model['forward'];
  /** What the last one was shared with. */
  company?(): Company;
}

/** A cache for a time, in whose place another one may come; see `SharedCache`. */
export interface CacheLease {
  /** That of the next forward. Whoever gets another one than before has given up what it held in that. */
  cache(): Cache;
  end(): void;
}

/** Options of a feed. */
export interface FeedOptions {
  readonly signal?: AbortSignal | undefined;
  /** Of the cache's taps those whose states are wanted, in this order; default all. */
  readonly taps?: readonly number[] | undefined;
  /** As `ForwardOptions` has it. In a batch it is not asked. */
  readonly place?: ForwardOptions['place'];
}

/** The cache holds exactly a prefix of `tokens`, at any time between calls. */
export class Session {
  readonly model: Model;
  /** What generations of this text have learnt about their drafters. */
  readonly controllers = new WeakMap<Drafter, Controller>();
  readonly #lease: CacheLease;
  readonly #gate: GateSeat;
  #cache: Cache;
  #sequence: Sequence;
  /** The tokens whose rows are cached. */
  #cached: number[] = [];
  /** The latest feed and the tokens of its draft. */
  #latest: { readonly fed: Fed; readonly draft: readonly number[] } | null = null;
  /** Ends when every feed so far has. */
  #queue: Promise<unknown> = Promise.resolve();
  /** Whether a feed is under way. */
  #feeding = false;
  #disposed = false;

  /** On a cache of its own, or on one shared with other sessions of the model, for good or for a time. */
  constructor(
    model: Model,
    options: {
      readonly cache?: Cache;
      readonly lease?: CacheLease;
      readonly taps?: readonly number[] | undefined;
      readonly argmax?: boolean;
      /** Where forwards are run; default by the model, alone. A batch puts those of several sessions together. */
      readonly gate?: GateSeat;
    } = {},
  ) {
    this.model = model;
    const { lease = leaseOf(model, options), gate = { forward: model.forward } } = options;
    this.#gate = gate;
    this.#lease = lease;
    this.#cache = this.#lease.cache();
    this.#sequence = this.#cache.sequence();
  }

  /** Tokens whose rows are cached. */
  get cachedTokens(): readonly number[] {
    return this.#cached;
  }

  get cache(): Cache {
    return this.#cache;
  }

  /** What the last forward was shared with. */
  get company(): Company | undefined {
    return this.#gate.company?.();
  }

  /**
   * Logits after `tokens` (the whole text, at least one token) and after every node of `draft`. The rows of the common
   * prefix are reused, except that of the last token, whose logits are wanted. Feeds take their turns.
   */
  feed(
    tokens: readonly number[],
    draft: Nodes = { tokens: [] },
    options: FeedOptions = {},
  ): Promise<Fed> {
    // In a batch, whoever waited for a turn would keep the forward that it waits for from beginning.
    if (this.#feeding && this.#gate.company !== undefined)
      return Promise.reject(
        new OptionError(
          'feed: expected one text at a time in a session of a batch, got another; each text needs a session, and a drafter, of its own',
        ),
      );
    this.#feeding = true;
    const turn = this.#queue
      .then(() => this.#feed(tokens, draft, options))
      .finally(() => {
        this.#feeding = false;
      });
    this.#queue = turn.catch(() => {});
    return turn;
  }

  async #feed(
    tokens: readonly number[],
    draft: Nodes,
    { signal, taps, place }: FeedOptions,
  ): Promise<Fed> {
    if (this.#disposed) throw new Error('feed: expected a session, got a disposed one');
    if (tokens.length === 0) throw new RangeError('feed: expected at least one token, got none');
    this.#move();
    const given = this.#cache.taps;
    const wanted = taps ?? given;
    if (!wanted.every((tap) => given.includes(tap)))
      throw new OptionError(`feed: expected taps of [${given}], got [${wanted}]`);
    let common = 0;
    const limit = Math.min(this.#cached.length, tokens.length - 1);
    while (common < limit && this.#cached[common] === tokens[common]) common++;
    this.#forgetFrom(common);
    const pending = tokens.slice(common);
    const drafted = draft.tokens.map(({ token }) => token);
    const computedRows = pending.length + drafted.length;
    const tapped = wanted.length > 0;
    const isSame = wanted.join() === given.join();
    const segment = {
      sequence: this.#sequence,
      tokens: pending,
      draft: { tokens: drafted, parents: draft.parents },
      ...(tapped && { keep: Array.from({ length: computedRows }, (_, row) => row) }),
    };
    const { logits, hidden } = await this.#gate.forward(this.#cache, [segment], { signal, place });
    for (const token of pending) this.#cached.push(token);
    const fed = {
      logits: logits.slice(-1 - drafted.length),
      hidden: !tapped ? [] : isSame ? hidden : hidden.map((row) => statesOf(row, given, wanted)),
      from: common,
      computedRows,
    };
    this.#latest = { fed, draft: drafted };
    return fed;
  }

  /**
   * Keeps the rows of an accepted path of the draft that `fed` came from. Does nothing when another feed has come
   * between: leaving it out is slower, not wrong.
   */
  commit(fed: Fed, path: readonly number[]): void {
    if (this.#latest?.fed !== fed) return;
    const { draft } = this.#latest;
    this.#sequence.keep(path);
    for (const node of path) this.#cached.push(draft[node]);
    this.#latest = null;
  }

  /**
   * Forgets rows from position `length` on, so that the next feed computes them again, hidden states included. Not while a feed
   * is under way.
   */
  rewind(length: number): void {
    if (length < this.#cached.length) this.#forgetFrom(length);
  }

  /** Gives back the rows and the lease: the cache, if it is the session's own. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#sequence.free();
    this.#cached = [];
    this.#latest = null;
    this.#lease.end();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** To the cache that there is now. */
  #move(): void {
    const cache = this.#lease.cache();
    if (cache === this.#cache) return;
    this.#forgetFrom(0);
    this.#cache = cache;
    this.#sequence = cache.sequence();
  }

  #forgetFrom(length: number): void {
    this.#sequence.truncate(length);
    this.#cached.length = length;
    this.#latest = null;
  }
}

/** For good: of a cache that others own, or of one that ends with its session. */
function leaseOf(
  model: Model,
  {
    cache,
    taps,
    argmax,
  }: {
    readonly cache?: Cache;
    readonly taps?: readonly number[] | undefined;
    readonly argmax?: boolean;
  },
): CacheLease {
  if (cache !== undefined) return { cache: () => cache, end() {} };
  const own = model.createCache({
    slots: slotsFor(model),
    ...(taps && { taps }),
    ...(argmax && { argmax }),
  });
  return { cache: () => own, end: () => own.dispose() };
}

/** Of states f32 [given * C] those that are wanted, f32 [wanted * C]. */
function statesOf(
  states: Float32Array,
  given: readonly number[],
  wanted: readonly number[],
): Float32Array {
  const width = states.length / given.length;
  const picked = new Float32Array(wanted.length * width);
  for (const [index, tap] of wanted.entries()) {
    const from = given.indexOf(tap) * width;
    picked.set(states.subarray(from, from + width), index * width);
  }
  return picked;
}
