// What the bench and the process of a peer say to each other. Types only.
import type { PeerName } from './adapters.ts';

/** What a process opens: a decoder from a GGUF file, or the matrix of matrix.ts. */
export interface OpenMessage {
  readonly peer: PeerName;
  readonly threads: number;
  readonly folder: string;
  /** Null for the matrix. */
  readonly model: { readonly file: string; readonly vocab: number } | null;
}

/**
 * Something to be timed. Every task of a decoder starts and ends with the same PREFIX tokens in the cache.
 * - `decode`: `count` tokens, one at a time. `verify`: `count` rows in one call, with logits for all.
 * - `prefill`: `count` tokens of an empty sequence. `multiply`: `count` products.
 * - `results`: not for time: `count` next tokens, or as many outputs of a product.
 */
export interface Task {
  readonly kind: 'decode' | 'prefill' | 'verify' | 'multiply' | 'results';
  readonly count: number;
}

/** The answer to `OpenMessage`. */
export interface OpenedMessage {
  readonly version: string;
  readonly build: string;
}

/** The answer to a task. */
export interface DoneMessage {
  readonly ms: number;
  readonly values?: readonly number[];
}
