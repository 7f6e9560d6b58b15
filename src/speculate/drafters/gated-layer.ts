// The decoder layer of Qwen3-Next and Qwen3.5 in draft heads. Its attention has a gate (Qiu et al., "Gated Attention for Large Language
// Models", 2025): of every head the rows of the query come first, then as many of a gate that what was seen is multiplied with.
// A part of every head turns. Norms multiply with one more than their weight.
import { attend } from '../../models/layers.ts';
import type { Recorder } from '../../tensor/record.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Constants, HeadContext } from '../speculators/algorithm.ts';
import { feed } from './feed-forward.ts';
import { need } from './head-layer.ts';
import type { LayerConfig } from './layer-config.ts';

/** What such a layer reads that no file has: where queries and gates lie in the rows of q_proj, and what norms add. */
export function gatedConstants(layer: LayerConfig): Constants {
  const { width, heads, headDim, isGated } = layer;
  if (!isGated) return {};
  const rows = (first: number) =>
    Int32Array.from({ length: heads * headDim }, (_, i) => {
      const d = i % headDim;
      return 2 * (i - d) + first + d;
    });
  return {
    [QUERIES]: rows(0),
    [GATES]: rows(headDim),
    [ones(width)]: new Float32Array(width).fill(1),
    [ones(headDim)]: new Float32Array(headDim).fill(1),
  };
}

const QUERIES = 'rows of queries';
const GATES = 'rows of gates';
const ones = (length: number) => `ones ${length}`;

/** What a norm multiplies with, f32 [D]: its weight, in gated layers one more. */
export function gainOf<Fields>(
  ops: Recorder,
  { config, weights }: Pick<HeadContext<Fields>, 'config' | 'weights'>,
  name: string,
): Tensor {
  const gain = need(weights, name);
  if (!config.layer.isGated) return gain;
  return ops.add(gain, need(weights, ones(gain.shape[0])));
}

/** A layer: residual + attention(input), then the feed-forward. Both f32 [T, C] -> f32 [T, C] */
export function gatedLayer<Fields>(
  ops: Recorder,
  context: HeadContext<Fields>,
  at: { readonly prefix: string; readonly input: Tensor; readonly residual: Tensor },
): Tensor {
  const { prefix, input, residual } = at;
  const { layer } = context.config;
  const get = (name: string) => need(context.weights, `${prefix}.${name}`);
  const norm = (x: Tensor, name: string) =>
    ops.rmsNorm(x, gainOf(ops, context, `${prefix}.${name}.weight`), layer.normEps);
  const project = (x: Tensor, name: string, hasBias: boolean) =>
    ops.linear(
      x,
      get(`self_attn.${name}.weight`),
      hasBias ? get(`self_attn.${name}.bias`) : undefined,
    );
  const both = project(input, 'q_proj', layer.qkvBias); // [T, H*2*D]
  const part = (rows: string) => ops.gather(both, need(context.weights, rows), 1); // [T, H*D]
  const seen = attend(ops, { ...context, config: layer }, 0, {
    q: norm(part(QUERIES), 'self_attn.q_norm'),
    k: norm(project(input, 'k_proj', layer.qkvBias), 'self_attn.k_norm'),
    v: project(input, 'v_proj', layer.qkvBias),
  }); // [T, H*D]
  const passed = ops.mul(seen, ops.sigmoid(part(GATES)));
  const y = ops.add(residual, project(passed, 'o_proj', layer.outBias)); // [T, C]
  const x = norm(y, 'post_attention_layernorm');
  return ops.add(y, feed(ops, x, { get: (name) => get(`mlp.${name}`), layer }));
}
