// What a model file declares: how to read its config, which tensors it has, and its forward pass. Types only.
import type * as z from 'zod';
import type { Recorder } from '../tensor/record.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { DecoderConfig } from './config.ts';

/** A tensor of the checkpoint: its name and the shape it must have. */
export interface WeightSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** The same nest of objects with `Leaf` in place of every weight. */
export interface LayerTree<Leaf> {
  readonly attentionNorm: Leaf;
  readonly q: Leaf;
  readonly k: Leaf;
  readonly v: Leaf;
  readonly out: Leaf;
  readonly qBias?: Leaf;
  readonly kBias?: Leaf;
  readonly vBias?: Leaf;
  readonly outBias?: Leaf;
  readonly qNorm?: Leaf;
  readonly kNorm?: Leaf;
  readonly mlpNorm: Leaf;
  readonly gate: Leaf;
  readonly up: Leaf;
  readonly down: Leaf;
  readonly gateBias?: Leaf;
  readonly upBias?: Leaf;
  readonly downBias?: Leaf;
}

/** Everything a decoder is made of, with a leaf for each tensor. */
export interface WeightTree<Leaf> {
  readonly embed: Leaf;
  readonly layers: readonly LayerTree<Leaf>[];
  readonly norm: Leaf;
  /** The same leaf object as `embed` when tied. */
  readonly head: Leaf;
}

/** Names and shapes in the checkpoint. */
export type WeightMap = WeightTree<WeightSpec>;
/** Loaded tensors. */
export type Weights = WeightTree<Tensor>;

/** Where a forward finds its rows. All i32. */
export interface RowInputs {
  readonly tokens: Tensor; // [T]
  readonly positions: Tensor; // [T]
  /** Cache slot each row writes. */
  readonly slots: Tensor; // [T]
  /** Rows that get logits. */
  readonly keep: Tensor; // [K]
  /** Slots each row sees: visible[starts[t] .. starts[t] + counts[t]), one per position, ascending. */
  readonly visible: Tensor; // [N]
  readonly starts: Tensor; // [T]
  readonly counts: Tensor; // [T]
  /** Of decoders whose drafts are blocks: starts and counts in layers of a window, which a block has as a whole. */
  readonly within: ReadonlyMap<number, { readonly starts: Tensor; readonly counts: Tensor }>;
}

/** Everything a forward pass reads besides the vocabulary. */
export interface ForwardContext {
  readonly config: DecoderConfig;
  readonly weights: Weights;
  readonly rows: RowInputs;
  /** Rotary tables f32 [P, D/2], of the columns of a head that turn. */
  readonly cos: Tensor;
  readonly sin: Tensor;
  /** Per layer, f32 [S, G*D] each. */
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];
  /** The state that came with every row, f32 [T, width]; only of decoders that take them. */
  readonly states?: Tensor | undefined;
  /** Hidden states asked for: 0 the embedding, i the output of layer i - 1. */
  readonly taps: readonly number[];
}

/** A model file: how it reads its config, what it loads and what it computes. */
export interface Architecture {
  /** `model_type` in config.json, and the name of the file. */
  readonly modelType: string;
  /** The keys of config.json that it reads, with the defaults of its class. */
  readonly fields: z.ZodObject;
  /** Checks a config.json; throws FormatError or UnsupportedError by name of the key. */
  readConfig(json: unknown, file: string): DecoderConfig;
  weights(config: DecoderConfig): WeightMap;
  /** Straight-line code over the vocabulary. Logits f32 [K, V]; hidden f32 [K, C] per tap. */
  forward(
    ops: Recorder,
    context: ForwardContext,
  ): { readonly logits: Tensor; readonly hidden: readonly Tensor[] };
}

/** What a decoder that was loaded is made of. */
export interface Body {
  readonly architecture: Architecture;
  readonly weights: Weights;
}
