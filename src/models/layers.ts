// The parts the forwards share, as functions over plain objects: attention over the cache, the gated feed-forward,
// and the head. They ask for weights by name and for numbers by config, never which model they belong to.
import type { Recorder } from '../tensor/record.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { ForwardContext, LayerTree, WeightSpec } from './architecture.ts';

/** A weight of the checkpoint. */
export function weight(name: string, ...shape: readonly number[]): WeightSpec {
  return { name, shape };
}

/** The width of a matrix, for `Backend.alloc`; vectors have none, nor have several matrices in one tensor. */
export function columnsOf({ shape }: WeightSpec): number | undefined {
  return shape.length === 2 ? shape[1] : undefined;
}

/**
 * Attention of layer l: rotates q and k, writes k and v to their slots, attends over the slots each row sees.
 * q f32 [T, H*D], k and v f32 [T, G*D] -> f32 [T, H*D]. Scores are multiplied with `scale`, by default 1 / √D.
 */
export function attend(
  ops: Recorder,
  context: Pick<ForwardContext, 'config' | 'rows' | 'cos' | 'sin' | 'keys' | 'values'>,
  l: number,
  parts: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor; readonly scale?: number },
): Tensor {
  const { config, rows, cos, sin } = context;
  const { heads, kvHeads, headDim } = config;
  const { q, k, v, scale = 1 / Math.sqrt(headDim) } = parts;
  const window = config.windows[l];
  const within = rows.within.get(window);
  const keys = ops.scatter(
    context.keys[l],
    ops.rope(k, rows.positions, cos, sin, kvHeads, headDim),
    rows.slots,
  ); // [S, G*D]
  const values = ops.scatter(context.values[l], v, rows.slots); // [S, G*D]
  const sight = { ...rows, ...within };
  const turned = ops.rope(q, rows.positions, cos, sin, heads, headDim);
  return ops.attention(turned, keys, values, sight, {
    heads,
    kvHeads,
    scale,
    // Those of blocks are in the lists.
    window: within === undefined ? window : 0,
  });
}

/** SwiGLU (Shazeer, 2020): down(silu(gate(x)) * up(x)). f32 [T, C] -> f32 [T, C] */
export function feedForward(
  ops: Recorder,
  x: Tensor,
  layer: Pick<LayerTree<Tensor>, 'gate' | 'up' | 'down' | 'gateBias' | 'upBias' | 'downBias'>,
): Tensor {
  const gate = ops.linear(x, layer.gate, layer.gateBias); // [T, F]
  const up = ops.linear(x, layer.up, layer.upBias); // [T, F]
  return ops.linear(ops.siluMul(gate, up), layer.down, layer.downBias);
}

/**
 * What a forward returns, for the kept rows only: logits f32 [K, V] of the last state, and f32 [K, C] of every state
 * that was tapped. states: f32 [T, C], the embedding and the output of each layer.
 */
export function outputs(
  ops: Recorder,
  { config, weights, rows, taps }: ForwardContext,
  states: readonly Tensor[],
): { readonly logits: Tensor; readonly hidden: readonly Tensor[] } {
  const last = ops.gather(states[config.layers], rows.keep); // [K, C]
  const logits = ops.linear(ops.rmsNorm(last, weights.norm, config.normEps), weights.head); // [K, V]
  return { logits, hidden: taps.map((tap) => ops.gather(states[tap], rows.keep)) };
}
