// The decoder layer of DeepSeek-V3 and R1 in draft heads, with multi-head latent attention (DeepSeek-AI, "DeepSeek-V2", 2024): keys and
// values of all heads are made of one short vector, beside one rotary key that the heads share. What is cached are the keys and values
// of every head, as in other layers. Columns that turn come first in a head here, in the files last.
import type { WeightSpec } from '../../models/architecture.ts';
import { attend, weight } from '../../models/layers.ts';
import type { Recorder } from '../../tensor/record.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Constants, HeadContext } from '../speculators/algorithm.ts';
import { feed, feedSpecs } from './feed-forward.ts';
import { need } from './head-layer.ts';
import type { Latent, LayerConfig } from './layer-config.ts';

/** Layers that have latent attention. */
export type LatentConfig = LayerConfig & { readonly latent: Latent; readonly rotaryDim: number };

/** Whether a layer is one. */
export const isLatent = (layer: LayerConfig): layer is LatentConfig => layer.latent !== undefined;

/** Of the norms of latent vectors, whatever the config says of others. */
const EPS = 1e-6;

/** The weights of a layer, but for the norm of its input. */
export function latentSpecs(prefix: string, layer: LatentConfig): WeightSpec[] {
  const { width, heads, headDim, rotaryDim, qkvBias, outBias, latent } = layer;
  const { rank, queryRank, valueDim } = latent;
  const at = (name: string) => `${prefix}.self_attn.${name}`;
  const biases = (name: string, length: number, isPresent: boolean) =>
    isPresent ? [weight(at(`${name}.bias`), length)] : [];
  const queries = heads * headDim;
  return [
    ...(queryRank === null
      ? [weight(at('q_proj.weight'), queries, width)]
      : [
          weight(at('q_a_proj.weight'), queryRank, width),
          ...biases('q_a_proj', queryRank, qkvBias),
          weight(at('q_a_layernorm.weight'), queryRank),
          weight(at('q_b_proj.weight'), queries, queryRank),
        ]),
    weight(at('kv_a_proj_with_mqa.weight'), rank + rotaryDim, width),
    ...biases('kv_a_proj_with_mqa', rank + rotaryDim, qkvBias),
    weight(at('kv_a_layernorm.weight'), rank),
    weight(at('kv_b_proj.weight'), heads * (headDim - rotaryDim + valueDim), rank),
    weight(at('o_proj.weight'), width, heads * valueDim),
    ...biases('o_proj', width, outBias),
    weight(`${prefix}.post_attention_layernorm.weight`, width),
    ...feedSpecs(`${prefix}.mlp`, layer),
  ];
}

const QUERIES = 'columns of queries';
const KEYS = 'columns of keys';
const VALUES = 'columns of values';
const SEEN = 'columns of what was seen';

/** Where the columns of every head come from, those that turn first and pairs as halves; values are as wide as keys. */
export function latentConstants({ heads, headDim, rotaryDim, latent }: LatentConfig): Constants {
  const { valueDim, isInterleaved } = latent;
  const still = headDim - rotaryDim;
  const columns = (count: number, from: (h: number, d: number) => number) =>
    Int32Array.from({ length: heads * count }, (_, i) => from(Math.floor(i / count), i % count));
  const half = rotaryDim / 2;
  const turning = (d: number) => (isInterleaved ? 2 * (d % half) + Math.floor(d / half) : d);
  return {
    [QUERIES]: columns(
      headDim,
      (h, d) => h * headDim + (d < rotaryDim ? still + turning(d) : d - rotaryDim),
    ),
    // Of the rotary key, then those of every head: keys that do not turn, and values.
    [KEYS]: columns(headDim, (h, d) => (d < rotaryDim ? turning(d) : d + h * (still + valueDim))),
    // The last one again up to the width of keys; what is seen of those is left out.
    [VALUES]: columns(
      headDim,
      (h, d) => h * (still + valueDim) + still + Math.min(d, valueDim - 1),
    ),
    [SEEN]: columns(valueDim, (h, d) => h * headDim + d),
  };
}

/** A layer: residual + attention(input), then the feed-forward. Both f32 [T, C] -> f32 [T, C] */
export function latentLayer<Fields>(
  ops: Recorder,
  context: HeadContext<Fields>,
  at: {
    readonly layer: LatentConfig;
    readonly prefix: string;
    readonly input: Tensor;
    readonly residual: Tensor;
  },
): Tensor {
  const { layer, prefix, input, residual } = at;
  const { rank, queryRank, scale } = layer.latent;
  const get = (name: string) => need(context.weights, `${prefix}.${name}`);
  const own = (name: string) => get(`self_attn.${name}`);
  const part = (x: Tensor, columns: string) => ops.gather(x, need(context.weights, columns), 1);
  const project = (x: Tensor, name: string, hasBias = false) =>
    ops.linear(x, own(`${name}.weight`), hasBias ? own(`${name}.bias`) : undefined);
  const short = (x: Tensor, name: string) => ops.rmsNorm(x, own(`${name}.weight`), EPS);

  const queries =
    queryRank === null
      ? project(input, 'q_proj')
      : project(short(project(input, 'q_a_proj', layer.qkvBias), 'q_a_layernorm'), 'q_b_proj'); // [T, H*D]
  const both = project(input, 'kv_a_proj_with_mqa', layer.qkvBias); // [T, rank + R]
  const latent = short(ops.slice(both, 1, 0, rank), 'kv_a_layernorm'); // [T, rank]
  const rotary = ops.slice(both, 1, rank, both.shape[1]); // [T, R]
  const made = project(latent, 'kv_b_proj'); // [T, H*(D - R + valueDim)]
  const seen = attend(ops, { ...context, config: layer }, 0, {
    q: part(queries, QUERIES),
    k: part(ops.concat([rotary, made], 1), KEYS),
    v: part(made, VALUES),
    scale,
  }); // [T, H*D]
  const y = ops.add(residual, project(part(seen, SEEN), 'o_proj', layer.outBias)); // [T, C]
  const x = ops.rmsNorm(y, get('post_attention_layernorm.weight'), layer.normEps);
  return ops.add(y, feed(ops, x, { get: (name) => get(`mlp.${name}`), layer }));
}
