// The configuration of a decoder layer of a head: that of a Llama-family model, and what layers of other families have beside it.
// Types only.
import type { DecoderConfig } from '../../models/config.ts';

/** A feed-forward of experts, of which a row goes to some, and one that all rows go to. */
export interface Mixture {
  readonly experts: number;
  /** Experts of a row. */
  readonly count: number;
  /** Width of an expert. */
  readonly width: number;
  /** How a row is given to them: by a softmax, or by sigmoids, of which a bias of the router's corrects the choice. */
  readonly scores: 'softmax' | 'sigmoid';
  /** Groups of neighbours, and those of them that a row may go to. */
  readonly groups: number;
  readonly groupsKept: number;
  /** Whether the shares of a row are divided by their sum, and what they are multiplied with after it. */
  readonly normalised: boolean;
  readonly factor: number;
  readonly sharedWidth: number;
  /** Name of the expert of all rows, and whether it has a gate. */
  readonly sharedName: 'shared_expert' | 'shared_experts';
  readonly sharedGate: boolean;
}

/** Attention whose keys and values are made of few numbers. `headDim` is the width of keys, which turn in `rotaryDim` columns. */
export interface Latent {
  /** Numbers that keys and values of all heads are made of, but for what turns. */
  readonly rank: number;
  /** The same of queries; null where they are made of the input. */
  readonly queryRank: number | null;
  /** Columns of values. */
  readonly valueDim: number;
  /** Whether neighbours turn as a pair, rather than columns of the first and of the second half. */
  readonly isInterleaved: boolean;
  /** What q·k is multiplied with. */
  readonly scale: number;
}

/** A decoder layer of a head. */
export interface LayerConfig extends DecoderConfig {
  /** Columns of a head that turn; all where it does not say. */
  readonly rotaryDim?: number;
  /** A feed-forward of experts; without it a dense one. */
  readonly mixture?: Mixture;
  /** Whether attention has a gate; then norms multiply with one more than their weight. */
  readonly isGated?: boolean;
  /** Attention by latent keys and values. */
  readonly latent?: Latent;
}
