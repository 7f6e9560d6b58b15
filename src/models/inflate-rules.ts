// How every weight of a decoder grows when the model is inflated.
import type { LayerTree, WeightSpec } from './architecture.ts';

/** What is repeated, by the name of its factor; null for what stays: the vocabulary, the width of a head. */
export type Axis = 'width' | 'heads' | 'ffn' | null;

/** How a tensor grows. */
export interface Rule {
  readonly rows: Axis;
  readonly columns?: Axis;
  /** The copies of its rows are scaled, so that whoever adds up what they make gets the sum of one copy. */
  readonly shares?: true;
  /** It writes to the stream; zero in a layer that adds nothing. */
  readonly writes?: true;
}

/** A weight of a layer. */
export type Role = keyof LayerTree<WeightSpec>;

export const EMBED: Rule = { rows: null, columns: 'width' };
export const NORM: Rule = { rows: 'width', shares: true };
/** The head reads what the last norm has scaled, so that it is the embedding still when it was. */
export const HEAD: Rule = EMBED;
export const LAYER: Readonly<Record<Role, Rule>> = {
  attentionNorm: NORM,
  q: { rows: 'heads', columns: 'width' },
  k: { rows: 'heads', columns: 'width' },
  v: { rows: 'heads', columns: 'width', shares: true },
  out: { rows: 'width', columns: 'heads', writes: true },
  qBias: { rows: 'heads' },
  kBias: { rows: 'heads' },
  vBias: { rows: 'heads', shares: true },
  outBias: { rows: 'width', writes: true },
  qNorm: { rows: null },
  kNorm: { rows: null },
  mlpNorm: NORM,
  gate: { rows: 'ffn', columns: 'width' },
  up: { rows: 'ffn', columns: 'width', shares: true },
  down: { rows: 'width', columns: 'ffn', writes: true },
  gateBias: { rows: 'ffn' },
  upBias: { rows: 'ffn', shares: true },
  downBias: { rows: 'width', writes: true },
};
