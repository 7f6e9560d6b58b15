// What a peer has to give to be measured: a decoder that takes tokens, or a product with one quantised matrix. Types only.
import type { GgufDType } from '../../src/tensor/gguf-types.ts';

/** How a peer is opened. */
export interface PeerOptions {
  readonly threads: number;
  /** Where its packages are; what is part of this repository has none. */
  readonly folder: string;
}

/** What every opened peer says about itself. */
interface Opened {
  readonly version: string;
  /** What really runs, in its own words. */
  readonly build: string;
  dispose(): Promise<void> | void;
}

/** A decoder with one sequence. */
export interface DecoderPeer extends Opened {
  /** Computes tokens behind those of the sequence, with logits for the last row or for all, in one call if it can. */
  feed(tokens: readonly number[], logits: 'last' | 'all'): Promise<void>;
  /** Forgets every token from `length` on. */
  truncate(length: number): void;
  /** The most probable token after the last row that was fed. */
  next(): Promise<number>;
}

/** A matrix [4096, 4096] of `randomBlocks` in q4_0 and a product with one vector, see matrix.ts. */
export interface MatrixPeer extends Opened {
  /** y = W x, f32 [4096]. */
  multiply(x: Float32Array): Promise<Float32Array>;
}

/** One engine. */
export interface Adapter {
  /** npm packages that it needs, with versions; none for our own. */
  packages(): readonly string[];
  openDecoder?(file: string, options: PeerOptions): Promise<DecoderPeer>;
  openMatrix?(options: PeerOptions): Promise<MatrixPeer>;
}

/** Columns of the shape of a random model. */
export interface DecoderShape {
  readonly layers: number;
  readonly width: number;
  readonly ffnWidth: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocab: number;
}

/** The types of weights that every decoder peer reads. */
export type PeerDType = Extract<GgufDType, 'q8_0' | 'q4_0'>;
