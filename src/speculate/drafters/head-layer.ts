// The decoder layer of draft heads: that of a model, with an input that may be wider than its stream, and names of its own.
import type { WeightSpec } from '../../models/architecture.ts';
import { attend, weight } from '../../models/layers.ts';
import type { Recorder } from '../../tensor/record.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { HeadContext, HeadWeights } from '../speculators/algorithm.ts';
import { feed, feedSpecs } from './feed-forward.ts';
import type { LayerConfig } from './layer-config.ts';

/** The weights of a layer whose attention reads rows of `inner` columns; with a gate, beside each query there is one as wide. */
export function layerSpecs(prefix: string, layer: LayerConfig, inner: number): WeightSpec[] {
  const { width, heads, kvHeads, headDim } = layer;
  const at = (name: string) => `${prefix}.${name}`;
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const asked = layer.isGated ? 2 * queries : queries;
  return [
    weight(at('self_attn.q_proj.weight'), asked, inner),
    weight(at('self_attn.k_proj.weight'), keys, inner),
    weight(at('self_attn.v_proj.weight'), keys, inner),
    weight(at('self_attn.o_proj.weight'), width, queries),
    ...(layer.qkvBias
      ? [
          weight(at('self_attn.q_proj.bias'), asked),
          weight(at('self_attn.k_proj.bias'), keys),
          weight(at('self_attn.v_proj.bias'), keys),
        ]
      : []),
    ...(layer.outBias ? [weight(at('self_attn.o_proj.bias'), width)] : []),
    ...(layer.qkNorm
      ? [
          weight(at('self_attn.q_norm.weight'), headDim),
          weight(at('self_attn.k_norm.weight'), headDim),
        ]
      : []),
    weight(at('post_attention_layernorm.weight'), width),
    ...feedSpecs(at('mlp'), layer),
  ];
}

/** The tensor of a name that the specs promise. */
export function need(weights: HeadWeights, name: string): Tensor {
  const tensor = weights.get(name);
  if (tensor === undefined) throw new Error(`internal: no weight ${name}`);
  return tensor;
}

/** Layer l: residual + attention(input), then the feed-forward. input f32 [T, inner], residual f32 [T, C] -> f32 [T, C] */
export function headLayer<Fields>(
  ops: Recorder,
  context: HeadContext<Fields>,
  at: {
    readonly l: number;
    readonly prefix: string;
    readonly input: Tensor;
    /** What keys and values are made of; by default the same. */
    readonly memory?: Tensor;
    readonly residual: Tensor;
  },
): Tensor {
  const { l, prefix, input, memory = input, residual } = at;
  const { layer } = context.config;
  const get = (name: string) => need(context.weights, `${prefix}.${name}`);
  const bias = (name: string, present: boolean) => (present ? get(`${name}.bias`) : undefined);
  const project = (name: string, from = memory) =>
    ops.linear(from, get(`self_attn.${name}.weight`), bias(`self_attn.${name}`, layer.qkvBias));
  const normed = (x: Tensor, name: string) =>
    layer.qkNorm ? ops.rmsNorm(x, get(`self_attn.${name}.weight`), layer.normEps) : x;
  const q = normed(project('q_proj', input), 'q_norm');
  const k = normed(project('k_proj'), 'k_norm');
  const seen = attend(ops, { ...context, config: layer }, l, { q, k, v: project('v_proj') });
  const out = bias('self_attn.o_proj', layer.outBias);
  const y = ops.add(residual, ops.linear(seen, get('self_attn.o_proj.weight'), out)); // [T, C]
  const mlp = ops.rmsNorm(y, get('post_attention_layernorm.weight'), layer.normEps);
  return ops.add(y, feed(ops, mlp, { get: (name) => get(`mlp.${name}`), layer }));
}
