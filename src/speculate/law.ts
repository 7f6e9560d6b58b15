// A law is the distribution of one next token. Types only.

/** All mass on one token: greedy targets, and drafts found by lookup or argmax. */
export interface PointLaw {
  readonly point: number;
  /** What it was chosen by, f64 [V], so that a drafter can rank the others; the law does not depend on it. */
  readonly scores?: Float64Array;
}

/** A full distribution over the vocabulary; sums to 1 up to rounding. */
export interface ProbsLaw {
  readonly probs: Float64Array;
}

export type Law = PointLaw | ProbsLaw;
