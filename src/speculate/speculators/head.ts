// A draft head at run time: its passes are forwards of a decoder that takes a state with every token, on the target's backend; the
// target's own states become such states in a plan of their own (`fuse`).
import type { Program } from '../../kernels/backend.ts';
import { toFloat32 } from '../../kernels/dtype.ts';
import { createDecoder, type Decoder } from '../../models/decoder.ts';
import { record } from '../../tensor/record.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { need } from '../drafters/head-layer.ts';
import type { BlockShape, HeadAlgorithm, HeadConfig } from './algorithm.ts';

/** A head, ready to draft. */
export interface Head {
  /** Its passes: `logits` f32 [draft vocabulary] and `hidden` f32 [C], the state that goes with the drafted token, per kept row. */
  readonly model: Decoder;
  /** Target states that `fuse` takes, in order. */
  readonly taps: readonly number[];
  /** Target's token of every drafted one; null where they are the same. */
  readonly targetIds: Int32Array | null;
  /** Target states f32 [taps * C] of positions to the states f32 [C] that go with the tokens after them. */
  fuse(states: readonly Float32Array[]): Promise<Float32Array[]>;
  /** Of heads that fill in a block at once. */
  readonly block?: BlockShape | undefined;
  /**
   * Of heads whose places look at the token before: what is added to the draft vocabulary's logits of a place, how probable it is
   * that its draft is accepted (null where the head does not say), and what the next step needs.
   */
  readonly step?:
    | ((previous: number, state: Float32Array, memory: Float32Array | null) => Promise<Step>)
    | undefined;
  /** Of heads that draft a chain in one pass: token and state of the places after the first. */
  readonly mask?: { readonly token: number; state(): Promise<Float32Array> } | undefined;
  dispose(): void;
}

/** One step of a head whose places look at the token before. */
export interface Step {
  readonly bias: Float32Array;
  readonly confidence: number | null;
  readonly memory: Float32Array;
}

/** What a head is made of. */
export interface HeadParts<Fields> {
  readonly algorithm: HeadAlgorithm<Fields>;
  readonly config: HeadConfig<Fields>;
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly verifier: Decoder;
  readonly targetIds: Int32Array | null;
  readonly contextLength: number;
  readonly maxRows: number;
}

/** Records the plans of a head; its weights are freed with it. */
export function createHead<Fields>(parts: HeadParts<Fields>): Head {
  const { algorithm, config, weights, verifier, targetIds, contextLength } = parts;
  const { backend, lent } = verifier;
  const { layer, target } = config;
  const block = algorithm.block?.(config);
  const maxRows = Math.max(parts.maxRows, block?.size ?? 1);
  const model = createDecoder({
    config: {
      ...layer,
      layers: algorithm.layers?.(config) ?? layer.layers,
      vocab: target.vocab,
    },
    forward(ops, context) {
      const { logits, state } = algorithm.forward(ops, { ...context, config, weights, lent });
      return { logits, hidden: [state] };
    },
    tensors: new Set(weights.values()),
    lent,
    logitsWidth: algorithm.draftVocab(config),
    stateWidth: layer.width + (block === undefined ? 0 : 1),
    blockWindows: block?.windows,
    backend,
    contextLength,
    maxRows,
  });
  const taps = algorithm.taps(config);
  const wide = taps.length * target.width;
  let program: Program | undefined;
  const prepared = () => {
    program ??= backend.prepare(
      record((ops) => [
        algorithm.fuse(
          ops,
          { config, weights, lent },
          ops.input('states', 'f32', [maxRows, wide], 'T'),
        ),
      ]),
    );
    return program;
  };
  const fuse = async (states: readonly Float32Array[]): Promise<Float32Array[]> => {
    const fused: Float32Array[] = [];
    for (let from = 0; from < states.length; from += maxRows) {
      const rows = states.slice(from, from + maxRows);
      const data = new Float32Array(rows.length * wide);
      for (const [row, state] of rows.entries()) data.set(state, row * wide);
      const { outputs } = prepared();
      backend.run(prepared(), { extents: { T: rows.length, K: 0 }, inputs: { states: data } });
      const result = await backend.read(outputs[0], 0, rows.length * layer.width);
      for (let row = 0; row < rows.length; row++)
        fused.push(result.slice(row * layer.width, (row + 1) * layer.width) as Float32Array);
    }
    return fused;
  };
  const steps = algorithm.steps?.({ config, weights, lent }) ?? undefined;
  let stepProgram: Program | undefined;
  const takeStep: NonNullable<Head['step']> = async (previous, state, memory) => {
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
    taps,
    targetIds,
    fuse,
    block,
    step: steps && takeStep,
    mask: places && {
      token: places.token,
      state() {
        masked ??= maskState(places.weight);
        return masked;
      },
    },
    dispose() {
      stepProgram?.dispose();
      program?.dispose();
      model.dispose();
    },
  };
}
