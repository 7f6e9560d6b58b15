// What loading one algorithm of the format gives, and what it is given. Types only.
import type { Decoder } from '../../models/decoder.ts';
import type { Tokenizer } from '../../models/tokenizer.ts';
import type { WeightDType, WeightOptions } from '../../models/weights.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import type { TensorData } from '../../tensor/safetensors.ts';
import type { FolderSource } from '../../tensor/source.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Drafter } from '../drafter.ts';
import type { DraftHeadOptions } from '../drafters/head.ts';
import type { HeadAlgorithm } from './algorithm.ts';
import type { SpeculatorConfig } from './config.ts';
import type { Head } from './head.ts';

/** Options of `Speculator.fromPretrained`. */
export interface SpeculatorOptions extends Partial<Omit<WeightOptions, 'dtype'>> {
  /** The target that it drafts for; what drafts runs on its backend, and may not outlive it. */
  readonly verifier: Decoder;
  /**
   * The target's tokenizer. Only an independent draft model needs it: where it has another one, it drafts the tokens that both have.
   * Default none: its ids are taken for the target's.
   */
  readonly tokenizer?: Tokenizer | undefined;
  /** Element type of the matrices; default `auto`, as in the file. */
  readonly dtype?: WeightDType;
  /** Algorithms beside `ALGORITHMS`, by name. */
  readonly algorithms?: Readonly<Record<string, HeadAlgorithm<unknown>>>;
}

/** Shapes of a draft. */
export type Shape = Omit<DraftHeadOptions, 'name'>;

/** The part of a speculator that depends on its algorithm. */
export interface Loaded {
  /** The decoder that drafts; null for a head that has none. */
  readonly model: Decoder | null;
  /** Null for an independent draft model. */
  readonly head: Head | null;
  readonly notes: readonly string[];
  /** Weights by name in the file. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** The tensors that say which tokens of the target it drafts. */
  readonly vocabulary: readonly TensorData[];
  /** What the files of weights have, and what they say besides. */
  readonly tensors: Checkpoint['tensors'];
  readonly metadata: Checkpoint['metadata'];
  /** Files beside config and weights, by name. */
  readonly texts: Readonly<Record<string, string>>;
  drafter(shape?: Shape): Drafter;
  dispose(): void;
}

/** Loads a folder whose config.json asks for one algorithm. */
export type Loader = (
  source: FolderSource,
  config: SpeculatorConfig,
  options: SpeculatorOptions,
) => Promise<Loaded>;
