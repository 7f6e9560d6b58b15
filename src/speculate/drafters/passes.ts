// What drafts of any shape are drawn from: passes of a drafter over a text and over what has been drafted after it. Types only.
import type { DraftRequest } from '../drafter.ts';

/** What a pass gives: logits over the target's vocabulary, and the state that goes with the next token (empty for models). */
export interface Pass {
  readonly logits: Float32Array;
  readonly state: Float32Array;
}

/** A token with the state that goes with it. */
export interface Pair {
  readonly token: number;
  readonly state: Float32Array;
}

/** A drafted token. */
export interface Node extends Pair {
  /** Index among the nodes, -1 for the text. */
  readonly parent: number;
}

/** The last level of a tree: its first node, and how many levels below the text it is. */
export interface Level {
  readonly first: number;
  readonly depth: number;
}

/** The beginning of a draft. */
export interface Begun {
  /** After the text. */
  readonly root: Pass;
  /** Levels that it may go below the text. */
  readonly levels: number;
}

/** The passes of a drafter. */
export interface Passes {
  /** Reads what is new of the text, and forgets what was drafted after it; null where there is nothing to say. */
  begin(request: DraftRequest): Promise<Begun | null>;
  /** One more token of a chain, `depth` levels below the text; null where the chain should end there. */
  push(pair: Pair, depth: number, signal: DraftRequest['signal']): Promise<Pass | null>;
  /** What follows the nodes of the last level; each node sees the path before it, and parents come first. */
  feed(
    nodes: readonly Node[],
    last: Level,
    signal: DraftRequest['signal'],
  ): Promise<readonly Pass[]>;
  /** As `Drafter.known`. */
  known?(tokens: readonly number[]): number;
  dispose(): void;
}
