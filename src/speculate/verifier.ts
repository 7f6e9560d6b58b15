// What a verifier is: a pure, synchronous function of numbers. Types only.
import type { Draft, Drawn } from './drafter.ts';
import type { Law } from './law.ts';
import type { Noise } from './noise.ts';

/**
 * What the emitted text is, compared with plain decoding: `bit-exact` the same tokens whatever the noise;
 * `seed-exact` the same tokens for the same seed; `same law` the same distribution; `lossy` neither.
 */
export type Guarantee = 'bit-exact' | 'seed-exact' | 'same law' | 'lossy';

export interface VerifyInput {
  readonly draft: Draft;
  /**
   * The target's law after the committed text (row 0) and after node i (row 1 + i). Ask only for rows you judge. Its numbers are
   * there for this round; the next may overwrite them.
   */
  law(row: number): Law;
  /** Absolute position of the next token. Node at depth d (0 = child of the text) is at position + d. */
  readonly position: number;
  readonly noise: Noise;
}

export interface Verdict {
  /** Accepted nodes, each a child of the one before. */
  readonly path: readonly number[];
  /** The token after them: `recovered` when a draft was rejected here, else `bonus`. */
  readonly next: number;
  readonly kind: 'recovered' | 'bonus';
}

export interface Verifier {
  readonly name: string;
  readonly guarantee: Guarantee;
  /**
   * For temperature 0 alone, where laws are points, or, if it asks for them, the probabilities that temperature 1 would have without
   * truncation.
   */
  readonly atZeroOnly?: 'points' | 'probabilities';
  /** How a drafter must draw for this verifier; see `DraftRequest.draw`. */
  draw(law: Law, position: number, count: number, noise: Noise): readonly Drawn[];
  verify(input: VerifyInput): Verdict;
}
