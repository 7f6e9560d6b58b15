// What a draft head declares, as a model file does: its fields in config.json, its weights, the target states it reads, and its
// passes: forwards of decoder layers with a cache, or steps by depth without one. Types only.
import type * as z from 'zod';
import type { ForwardContext, WeightSpec } from '../../models/architecture.ts';
import type { DecoderConfig } from '../../models/config.ts';
import type { Lent } from '../../models/decoder.ts';
import type { BlockWindows } from '../../models/rows.ts';
import type { Recorder } from '../../tensor/record.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { PathTree } from '../drafters/branching.ts';
import type { LayerConfig } from '../drafters/layer-config.ts';

/** A head that is being read: its own fields, and the target it drafts for. */
export interface DraftConfig<Fields> {
  readonly fields: Fields;
  readonly target: DecoderConfig;
}

/** One with decoder layers. */
export interface HeadConfig<Fields> extends DraftConfig<Fields> {
  /** `transformer_layer_config`, defaults of its class filled in. */
  readonly layer: LayerConfig;
}

/** Weights by name in the file. */
export type HeadWeights = ReadonlyMap<string, Tensor>;

/** Vectors that the passes of a head find among its weights, and that no file has. */
export type Constants = Readonly<Record<string, Float32Array | Int32Array>>;

/** What every plan of a head is made with. */
export interface HeadParts<Config> {
  readonly config: Config;
  readonly weights: HeadWeights;
  /** Of the target: its embedding, final norm and head. */
  readonly lent: Lent;
}

/** What a pass of the head reads. `states` of the context is f32 [T, C]: of a fused target state or of the pass before. */
export interface HeadContext<Fields>
  extends Omit<ForwardContext, 'config' | 'weights' | 'taps'>,
    HeadParts<HeadConfig<Fields>> {}

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
  /** Whether it says how probable it is that a draft is accepted. */
  readonly isConfident: boolean;
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

/** What all algorithms of the format declare. */
export interface AlgorithmBase<Config extends DraftConfig<unknown>> {
  /** `speculators_model_type`. */
  readonly name: string;
  readonly schema: z.ZodType<Config['fields']>;
  /** Tensor with the target's token of every token that it drafts, where that is not said by d2t and t2d. */
  readonly tokenMap?: string;
  /** Tokens that it can draft; the target's where the head is borrowed. */
  draftVocab(config: Config): number;
  /** Weights it has; `has` tells which of the optional ones are in the file. */
  weights(config: Config, has: (name: string) => boolean): readonly WeightSpec[];
  /** Target states, as `Drafter.taps`: X is the residual stream that enters layer X. */
  taps(config: Config): readonly number[];
  /** Target states f32 [T, taps * C] to the state that goes with the next token, f32 [T, C]. */
  fuse(ops: Recorder, parts: HeadParts<Config>, states: Tensor): Tensor;
}

/** An algorithm of decoder layers, with a cache of their own. */
export interface DecoderAlgorithm<Fields> extends AlgorithmBase<HeadConfig<Fields>> {
  readonly depths?: undefined;
  /** Decoder layers it runs; by default those of `transformer_layer_config`. */
  layers?(config: HeadConfig<Fields>): number;
  constants?(config: HeadConfig<Fields>): Constants;
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
  steps?(parts: HeadParts<HeadConfig<Fields>>): StepShape | null;
  /** One pass: logits f32 [K, draftVocab] and the state f32 [K, C] that goes with the drafted token. */
  forward(
    ops: Recorder,
    context: HeadContext<Fields>,
  ): { readonly logits: Tensor; readonly state: Tensor };
}

/** The steps of a head without attention. */
export interface DepthShape {
  /** How many there are; a draft is not deeper. */
  readonly steps: number;
  /** Numbers of the state that a step reads; the first reads what `fuse` gives. */
  width(depth: number): number;
  /** Whether a step reads the token before. If not, rows of one state are one row. */
  readonly readsTokens: boolean;
  readonly constants?: Constants;
  /** The tree that the config asks for beside the proposal methods of the format. */
  readonly paths?: PathTree | null;
}

/** What a step reads. */
export interface DepthContext<Fields> extends HeadParts<DraftConfig<Fields>> {
  /** 0 where the token is the last of the text. */
  readonly depth: number;
  /** The token before, i32 [T]. */
  readonly tokens: Tensor;
  /** f32 [T, width(depth)] */
  readonly states: Tensor;
}

/** An algorithm without attention and cache: the token at depth d + 1 comes from step d, a token and a state. */
export interface DepthAlgorithm<Fields> extends AlgorithmBase<DraftConfig<Fields>> {
  readonly forward?: undefined;
  depths(config: DraftConfig<Fields>): DepthShape;
  /** Logits f32 [T, draftVocab] and the state f32 [T, width(depth + 1)] of the next step; null for the same again. */
  step(
    ops: Recorder,
    context: DepthContext<Fields>,
  ): { readonly logits: Tensor; readonly state: Tensor | null };
}

/** An algorithm of the format. */
export type HeadAlgorithm<Fields> = DecoderAlgorithm<Fields> | DepthAlgorithm<Fields>;
