// What a drafter is: committed text in, draft out. Types only.
import type { Law } from './law.ts';

declare const stated: unique symbol;

/**
 * A drafted token together with the law it was drawn from. Only `pointDraw` and `lawDraw` make one, so a token
 * cannot be passed on with another law than its own.
 */
export interface Drawn {
  readonly token: number;
  /** The law of the draw. Siblings drawn in order without replacement share one law object. */
  readonly law: Law;
  readonly [stated]: true;
}

/** Drafted tokens, parents before children. */
export interface Draft {
  readonly tokens: readonly Drawn[];
  /** parents[i] < i is the node before node i, -1 the last committed token; absent for a chain. */
  readonly parents?: readonly number[] | undefined;
}

/** Everything a drafter is told. There are no accept, reject or rollback messages: `tokens` says it all. */
export interface DraftRequest {
  /** The committed text. */
  readonly tokens: readonly number[];
  /** Nodes it may return at most, and levels below the committed text; both at least 1. */
  readonly maxTokens: number;
  readonly maxDepth: number;
  /**
   * Hidden states f32 [taps * C] of committed positions up to that of the last token but one: since the last request, or from
   * `Drafter.known` on.
   */
  readonly hidden?: readonly Float32Array[];
  /**
   * The caller's processors (temperature, top-k, penalties, ...) applied to one row of draft logits after `history`; a law of nothing,
   * from which nothing is drawn, where they leave no token.
   */
  law(logits: Float32Array, history: readonly number[]): Law;
  /**
   * Draws up to `count` different tokens from `law` for `position`, best first, in the way the verifier in use can
   * test. Decide `count` and whether to draw at all before looking at any drawn token.
   */
  draw(law: Law, position: number, count: number): readonly Drawn[];
  readonly signal?: AbortSignal | undefined;
}

/** What drafting is expected to cost, before any draft has been timed. */
export interface DraftCost {
  /** Milliseconds of a draft of so many levels by a drafter that has seen the text. */
  draftMs(levels: number): number;
  /** Milliseconds more per committed token that it has not seen. */
  readonly missedMs: number;
}

export interface Drafter {
  readonly name: string;
  /** Target layers whose hidden states it wants; see `Cache.taps`. */
  readonly taps?: readonly number[];
  /** Tokens of context it can handle; drafting stops there. */
  readonly contextLength?: number;
  /** Levels of its deepest draft; default any. */
  readonly maxDepth?: number;
  /**
   * Of one with taps: positions of a text, from the first on, whose hidden states it has. Those after them are given to it, and computed
   * again where a session had cached them. Default those it was given in the generation.
   */
  known?(tokens: readonly number[]): number;
  draft(request: DraftRequest): Draft | Promise<Draft>;
  /** For `draftLength: 'auto'`: nodes of a full draft of so many levels. Absent: one a level. */
  nodesAt?(levels: number): number;
  /** For `draftLength: 'auto'`: what it expects to cost, measured if need be. Absent: learnt from its drafts. */
  cost?(signal?: AbortSignal): Promise<DraftCost>;
  /** Gives back what it holds (sessions, caches). Not the models it was given. */
  dispose?(): void;
}
