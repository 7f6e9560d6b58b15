// Draft heads at run time. The passes of one with decoder layers are forwards of a decoder that takes a state with every token, on the
// target's backend; the target's own states become such states in a plan of their own (`fuse`).
import type { Program } from '../../kernels/backend.ts';
import { toFloat32 } from '../../kernels/dtype.ts';
import { createDecoder, type Decoder } from '../../models/decoder.ts';
import { record } from '../../tensor/record.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { PathTree } from '../drafters/branching.ts';
import { need } from '../drafters/head-layer.ts';
import type { Pair } from '../drafters/passes.ts';
import type { BlockShape, DecoderAlgorithm, HeadConfig } from './algorithm.ts';
import { withConstants } from './constants.ts';
import { createFusion } from './fuse.ts';

/** What all heads are, ready to draft. */
interface HeadBase {
  /** Target states that `fuse` takes, in order. */
  readonly taps: readonly number[];
  /** Target's token of every drafted one; null where they are the same. */
  readonly targetIds: Int32Array | null;
  /** Tokens of the target. */
  readonly vocab: number;
  /** Positions up to which it drafts. */
  readonly contextLength: number;
  /** Target states f32 [taps * C] of positions to the states f32 [C] that go with the tokens after them. */
  fuse(states: readonly Float32Array[]): Promise<Float32Array[]>;
  dispose(): void;
}

/** A head of decoder layers. */
export interface DecoderHead extends HeadBase {
  readonly steps?: undefined;
  readonly paths?: undefined;
  /** Its passes: `logits` f32 [draft vocabulary] and `hidden` f32 [C], the state that goes with the drafted token, per kept row. */
  readonly model: Decoder;
  /** Of heads that fill in a block at once. */
  readonly block?: BlockShape | undefined;
  /**
   * Of heads whose places look at the token before: what is added to the draft vocabulary's logits of a place, how probable it is
   * that its draft is accepted (null where the head does not say), and what the next step needs.
   */
  readonly step?:
    | ((previous: number, state: Float32Array, memory: Float32Array | null) => Promise<Step>)
    | undefined;
  /** Whether its steps say how probable it is that a draft is accepted. */
  readonly isConfident: boolean;
  /** Of heads that draft a chain in one pass: token and state of the places after the first. */
  readonly mask?: { readonly token: number; state(): Promise<Float32Array> } | undefined;
}

/** A head without attention, which steps by depth. */
export interface DepthHead extends HeadBase {
  readonly model?: undefined;
  /** Tokens of its deepest draft. */
  readonly steps: number;
  /** The tree that its config asks for. */
  readonly paths: PathTree | null;
  /** Step `depth` of pairs: logits f32 [draft vocabulary] and the state of the next step, for each. */
  pass(
    depth: number,
    pairs: readonly Pair[],
    signal?: AbortSignal,
  ): Promise<readonly { readonly logits: Float32Array; readonly state: Float32Array }[]>;
}

/** A head, ready to draft. */
export type Head = DecoderHead | DepthHead;

/** One step of a head whose places look at the token before. */
export interface Step {
  readonly bias: Float32Array;
  readonly confidence: number | null;
  readonly memory: Float32Array;
}

/** What every head is given. */
export interface HeadOptions {
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly verifier: Decoder;
  readonly targetIds: Int32Array | null;
}

/** Records the plans of a head of decoder layers; its weights are freed with it. */
export function createDecoderHead<Fields>(
  algorithm: DecoderAlgorithm<Fields>,
  config: HeadConfig<Fields>,
  { weights: given, verifier, targetIds }: HeadOptions,
): DecoderHead {
  const { backend, lent } = verifier;
  const weights = withConstants(given, algorithm.constants?.(config) ?? {}, backend);
  const { layer, target } = config;
  const block = algorithm.block?.(config);
  const contextLength = Math.min(layer.maxPositions, verifier.contextLength);
  const maxRows = Math.max(verifier.maxRows, block?.size ?? 1);
  const parts = { config, weights, lent };
  const model = createDecoder({
    config: {
      ...layer,
      layers: algorithm.layers?.(config) ?? layer.layers,
      vocab: target.vocab,
    },
    forward(ops, context) {
      const { logits, state } = algorithm.forward(ops, { ...context, ...parts });
      return { logits, hidden: [state] };
    },
    tensors: new Set(weights.values()),
    lent,
    lender: verifier,
    logitsWidth: algorithm.draftVocab(config),
    rotaryDim: layer.rotaryDim,
    stateWidth: layer.width + (block === undefined ? 0 : 1),
    blockWindows: block?.windows,
    backend,
    contextLength,
    maxRows,
  });
  const { fuse, dispose } = createFusion(algorithm, parts, {
    backend,
    width: layer.width,
    maxRows,
  });
  const steps = algorithm.steps?.(parts) ?? undefined;
  let stepProgram: Program | undefined;
  const takeStep: NonNullable<DecoderHead['step']> = async (previous, state, memory) => {
    const { memory: width, step } = steps!;
    stepProgram ??= backend.prepare(
      record((ops) => {
        const { bias, memory, confidence } = step(ops, {
          previous: ops.input('previous', 'i32', [1]),
          state: ops.input('state', 'f32', [1, layer.width]),
          memory: ops.input('memory', 'f32', [1, width]),
        });
        return [bias, memory, ...(confidence === null ? [] : [confidence])];
      }),
    );
    backend.run(stepProgram, {
      extents: { T: 1, K: 1 },
      inputs: {
        previous: Int32Array.of(previous),
        state,
        memory: memory ?? new Float32Array(width),
      },
    });
    const [bias, left, logit] = (await Promise.all(
      stepProgram.outputs.map((buffer) => backend.read(buffer)),
    )) as Float32Array[];
    const confidence = logit === undefined ? null : 1 / (1 + Math.exp(-logit[0]));
    return { bias, memory: left, confidence };
  };
  const places = algorithm.mask?.(config);
  let masked: Promise<Float32Array> | undefined;
  const maskState = async (weight: string): Promise<Float32Array> => {
    const { value } = need(weights, weight);
    if (!('buffer' in value)) throw new Error('internal: a weight without a buffer');
    const [state] = await fuse([toFloat32(await backend.read(value.buffer), value.dtype)]);
    return state;
  };
  return {
    model,
    taps: algorithm.taps(config),
    targetIds,
    vocab: target.vocab,
    contextLength,
    fuse,
    block,
    step: steps && takeStep,
    isConfident: steps?.isConfident ?? false,
    mask: places && {
      token: places.token,
      state() {
        masked ??= maskState(places.weight);
        return masked;
      },
    },
    dispose() {
      stepProgram?.dispose();
      dispose();
      model.dispose();
    },
  };
}
