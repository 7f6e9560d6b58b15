// EAGLE heads of the golden files, changed: other fields, other layers, more tensors; and what they draft, by the first implementation.
import { expect } from 'vitest';
import type { Decoder } from '../../../src/models/decoder.ts';
import { pointDraw } from '../../../src/speculate/drawn.ts';
import type { Speculator } from '../../../src/speculate/speculators/load.ts';
import {
  openCheckpoint,
  type TensorData,
  writeSafetensors,
} from '../../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource, openFolder } from '../../../src/tensor/source.ts';
import type { Passed } from './eagle-passes.ts';
import type { Pair } from './float64.ts';
import { golden, tensorsOf } from './research.ts';

type Json = Readonly<Record<string, unknown>>;

/** The prompt of the golden files, and more. */
export const PROMPT = [1, 5, 9, 33, 9, 5, 60, 2, 17, 40, 12, 7];
/** Layers of the golden heads. */
export const SHAPE = { heads: 4, kvHeads: 2, headDim: 8, eps: 1e-5, theta: 10_000 };
/** Token of P-EAGLE's further places. */
export const MASK = 3;
const [WIDTH, FFN, TAPS] = [32, 56, 3];

/** What is other than in a golden head. */
export interface Change {
  /** Fields of config.json. */
  readonly fields?: Json;
  /** Fields of its layers. */
  readonly layer?: Json;
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
}

/** A golden head, changed. */
export async function headWith(
  name: string,
  { fields = {}, layer = {}, shapes = {} }: Change = {},
): Promise<FolderSource> {
  const source = await openFolder(golden(`heads/${name}`));
  const { tensors, readInto } = await openCheckpoint(source);
  const all: TensorData[] = [];
  for (const [each, { type, shape, from, to }] of tensors) {
    const data = new Uint8Array(to - from);
    await readInto(each, 0, data);
    all.push({ name: each, dtype: type as Uppercase<string>, shape, data });
  }
  const own = JSON.parse(await source.text('config.json'));
  await source.close();
  const config = {
    ...own,
    ...fields,
    transformer_layer_config: { ...own.transformer_layer_config, ...layer },
  };
  return memorySource(
    {
      'config.json': JSON.stringify(config),
      'model.safetensors': writeSafetensors([...all, ...tensorsOf(shapes, 8)]),
    },
    name,
  );
}

/** Fields of layers with these windows, 0 for none, as training writes them. */
export const slidingLayers = (windows: readonly number[]): Json => ({
  num_hidden_layers: windows.length,
  sliding_window: Math.max(...windows) || null,
  use_sliding_window: windows.some((window) => window > 0),
  layer_types: windows.map((window) => (window > 0 ? 'sliding_attention' : 'full_attention')),
});

/** Shapes of a layer after the first. */
const furtherLayer = (l: number): Readonly<Record<string, readonly number[]>> =>
  Object.fromEntries(
    Object.entries({
      input_layernorm: [WIDTH],
      post_attention_layernorm: [WIDTH],
      'self_attn.q_proj': [32, WIDTH],
      'self_attn.k_proj': [16, WIDTH],
      'self_attn.v_proj': [16, WIDTH],
      'self_attn.o_proj': [WIDTH, 32],
      'mlp.gate_proj': [FFN, WIDTH],
      'mlp.up_proj': [FFN, WIDTH],
      'mlp.down_proj': [WIDTH, FFN],
    }).map(([name, shape]) => [`layers.${l}.${name}.weight`, shape]),
  );

/** An EAGLE-3 head with a layer for every window. */
export const slidingEagle3 = (windows: readonly number[], change: Change = {}) =>
  headWith('eagle3', {
    fields: change.fields ?? {},
    layer: { ...slidingLayers(windows), ...change.layer },
    shapes: Object.assign(
      {},
      change.shapes,
      ...windows.slice(1).map((_, l) => furtherLayer(l + 1)),
    ),
  });

/** A P-EAGLE head with a layer for every window. */
export const peagleHead = (windows: readonly number[] = [0], fields: Json = {}) =>
  slidingEagle3(windows, {
    fields: { speculators_model_type: 'peagle', mask_token_id: MASK, ...fields },
    shapes: { mask_hidden: [1, 1, TAPS * WIDTH] },
  });

/** The states that a head reads of a text, as the target gives them. */
export async function targetStates(
  verifier: Decoder,
  { taps }: NonNullable<Speculator['head']>,
  text: readonly number[],
): Promise<readonly Float32Array[]> {
  const cache = verifier.createCache({ taps });
  const keep = text.map((_, row) => row);
  const { hidden } = await verifier.forward(cache, [
    { sequence: cache.sequence(), tokens: text, keep },
  ]);
  cache.dispose();
  return hidden;
}

/** What a drafter is shown of its logits, and the draft; token `depth * 5 + rank` is drawn at a depth, whatever the logits say. */
export async function draftOf(
  speculator: Speculator,
  text: readonly number[],
  hidden: readonly Float32Array[],
  shape: { readonly branching?: readonly number[] } = {},
) {
  const drafter = speculator.drafter(shape);
  const laws: { readonly path: readonly number[]; readonly logits: Float32Array }[] = [];
  const draft = await drafter.draft({
    tokens: text,
    hidden,
    maxTokens: 8,
    maxDepth: 4,
    law(logits, history) {
      laws.push({ path: history.slice(text.length), logits: logits.slice() });
      return { point: 0 };
    },
    draw: (_, position, count) =>
      Array.from({ length: count }, (_, rank) => pointDraw((position - text.length) * 5 + rank)),
  });
  drafter.dispose?.();
  return { draft, laws };
}

/** Expects logits over the target's vocabulary to be those of the draft's, which are the target's tokens `ids`. */
export function expectLogits(
  found: Float32Array,
  wanted: readonly number[],
  ids: Int32Array | null,
): void {
  const worst = Math.max(
    ...wanted.map((value, token) => Math.abs(found[ids?.[token] ?? token] - value)),
  );
  const scale = Math.max(1, ...wanted.map(Math.abs));
  expect(worst / scale).toBeLessThan(1e-4);
  expect(found.filter(Number.isFinite)).toHaveLength(wanted.length);
}

/** Passes of the pairs of a text and of a path after it, whose states are the head's own. */
export function passesAlong(
  start: readonly Pair[],
  path: readonly number[],
  passes: (pairs: readonly Pair[]) => readonly Passed[],
): Passed {
  const pairs = [...start];
  for (const token of path) pairs.push({ token, state: passes(pairs).at(-1)!.state });
  return passes(pairs).at(-1)!;
}
