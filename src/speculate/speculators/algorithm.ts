// What a draft head declares, as a model file does: its fields in config.json, its weights, the target states it reads, and its
// forward pass. Types only.
import type * as z from 'zod';
import type { ForwardContext, WeightSpec } from '../../models/architecture.ts';
import type { DecoderConfig } from '../../models/config.ts';
import type { Lent } from '../../models/decoder.ts';
import type { BlockWindows } from '../../models/rows.ts';
import type { Recorder } from '../../tensor/record.ts';
import type { Tensor } from '../../tensor/tensor.ts';

/** A head that is being read: its own fields, its decoder layers, and the target it drafts for. */
export interface HeadConfig<Fields> {
  readonly fields: Fields;
  /** `transformer_layer_config`, defaults of its class filled in. */
  readonly layer: DecoderConfig;
  readonly target: DecoderConfig;
}

/** Weights by name in the file. */
export type HeadWeights = ReadonlyMap<string, Tensor>;

/** What a pass of the head reads. `states` of the context is f32 [T, C]: of a fused target state or of the pass before. */
export interface HeadContext<Fields> extends Omit<ForwardContext, 'config' | 'weights' | 'taps'> {
  readonly config: HeadConfig<Fields>;
  readonly weights: HeadWeights;
  /** Of the target: its embedding, final norm and head. */
  readonly lent: Lent;
}

/** A block that is filled in at once. */
export interface BlockShape {
  readonly size: number;
  readonly maskToken: number;
  readonly fromAnchor: boolean;
  /** What places see of the block in layers with a window: those up to their own, or all. */
  readonly windows: BlockWindows;
}

/** What a step that looks at the token before reads: one row each. */
export interface StepInputs {
  /** The token before, i32 [1]. */
  readonly previous: Tensor;
  /** State of the place, f32 [1, C]. */
  readonly state: Tensor;
  /** What the step before left, f32 [1, memory]; zeros at first. */
  readonly memory: Tensor;
}

/** Steps from place to place of a block, each after the token before it is known. */
export interface StepShape {
  /** Numbers that one step leaves to the next. */
  readonly memory: number;
  /** What is added to the logits, f32 [1, draftVocab]; what is left; ln p / (1 - p) of the draft being accepted, f32 [1, 1]. */
  step(
    ops: Recorder,
    inputs: StepInputs,
  ): {
    readonly bias: Tensor;
    readonly memory: Tensor;
    readonly confidence: Tensor | null;
  };
}

/** An algorithm of the format. */
export interface HeadAlgorithm<Fields> {
  /** `speculators_model_type`. */
  readonly name: string;
  readonly schema: z.ZodType<Fields>;
  /** Tokens that it can draft; the target's where the head is borrowed. */
  draftVocab(config: HeadConfig<Fields>): number;
  /** Decoder layers it runs; by default those of `transformer_layer_config`. */
  layers?(config: HeadConfig<Fields>): number;
  /** Weights it has; `has` tells which of the optional ones are in the file. */
  weights(config: HeadConfig<Fields>, has: (name: string) => boolean): readonly WeightSpec[];
  /** Target states, as `Drafter.taps`: X is the residual stream that enters layer X. */
  taps(config: HeadConfig<Fields>): readonly number[];
  /** Target states f32 [T, taps * C] to the state that goes with the next token, f32 [T, C]. */
  fuse(
    ops: Recorder,
    parts: Pick<HeadContext<Fields>, 'config' | 'weights' | 'lent'>,
    states: Tensor,
  ): Tensor;
  /**
   * Heads that draft a whole chain in one pass: the token of its further places, and the weight whose numbers [taps * C] are
   * fused to their state. Absent: one pass per token.
   */
  mask?(config: HeadConfig<Fields>): { readonly token: number; readonly weight: string };
  /**
   * Heads that fill in a block: its places, the token of those after the first, and whether the first place, which has the last
   * token of the text, says something of the token after it. Their passes read states of one number more: 0 for a state of
   * the target, 1 for a place of the block.
   */
  block?(config: HeadConfig<Fields>): BlockShape;
  /** Of heads with a block whose places look at the token before; null for none. */
  steps?(parts: Pick<HeadContext<Fields>, 'config' | 'weights' | 'lent'>): StepShape | null;
  /** One pass: logits f32 [K, draftVocab] and the state f32 [K, C] that goes with the drafted token. */
  forward(
    ops: Recorder,
    context: HeadContext<Fields>,
  ): { readonly logits: Tensor; readonly state: Tensor };
}
