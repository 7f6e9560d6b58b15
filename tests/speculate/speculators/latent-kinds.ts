// Kinds of layers of DeepSeek-V3, and heads with one of seeded numbers.
import type { LatentShape, Routing } from './latent-head.ts';
import { mtpSource } from './mtp-heads.ts';
import { tensorsOf } from './research.ts';

/** A kind of layer: what its config says, and what that means. */
export interface Kind {
  readonly layer: Readonly<Record<string, unknown>>;
  readonly shape: LatentShape;
}

const C = 32;
const [H, STILL, TURNING, V, RANK, QUERY_RANK] = [4, 6, 4, 5, 12, 20];
const LAYER = {
  model_type: 'deepseek_v3',
  vocab_size: 64,
  hidden_size: C,
  num_hidden_layers: 8,
  num_attention_heads: H,
  num_key_value_heads: H,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-3,
  q_lora_rank: QUERY_RANK,
  kv_lora_rank: RANK,
  qk_nope_head_dim: STILL,
  qk_rope_head_dim: TURNING,
  v_head_dim: V,
  intermediate_size: 28,
  moe_intermediate_size: 12,
  n_routed_experts: 12,
  n_shared_experts: 2,
  num_experts_per_tok: 3,
  n_group: 4,
  topk_group: 2,
};
const anglesOf = (theta: number) => [1, theta ** (-2 / TURNING)];
const ROUTING: Routing = { perRow: 3, groups: 4, kept: 2, normalised: true, factor: 2.5 };
const SHAPE: LatentShape = {
  ...{ heads: H, still: STILL, turning: TURNING, value: V, rank: RANK, eps: 1e-3 },
  ...{ isInterleaved: true, angles: anglesOf(10_000), stretch: 1, scale: 1, routing: ROUTING },
};
const { routing: _, ...DENSE } = SHAPE;
const YARN = { rope_type: 'yarn', factor: 40, original_max_position_embeddings: 4096 };
const mscale = (by: number) => 0.1 * by * Math.log(40) + 1;

export const KINDS: Readonly<Record<string, Kind>> = {
  'DeepSeek-V3': { layer: LAYER, shape: SHAPE },
  'queries of the input, one group, shares as they are, biases': {
    layer: {
      ...LAYER,
      ...{ q_lora_rank: null, n_group: 1, topk_group: 1, norm_topk_prob: false },
      ...{ attention_bias: true, routed_scaling_factor: 1, rope_theta: 500 },
    },
    shape: {
      ...SHAPE,
      angles: anglesOf(500),
      routing: { perRow: 3, groups: 1, kept: 1, normalised: false, factor: 1 },
    },
  },
  'dense, with halves turning and biases': {
    layer: {
      ...LAYER,
      ...{ first_k_dense_replace: 9, rope_interleave: false, attention_bias: true },
      rope_scaling: { type: 'linear', factor: 4 },
    },
    shape: { ...DENSE, isInterleaved: false, angles: anglesOf(10_000).map((angle) => angle / 4) },
  },
  // Of two pairs the first keeps its angle, the second turns less than once in the original length.
  'YaRN as in DeepSeek-V3': {
    layer: {
      ...LAYER,
      rope_theta: 1e8,
      rope_scaling: { ...YARN, mscale: 1, mscale_all_dim: 1, beta_fast: 32, beta_slow: 1 },
    },
    shape: { ...SHAPE, angles: [1, 1e-4 / 40], scale: mscale(1) ** 2 },
  },
  'YaRN with two scales': {
    layer: { ...LAYER, rope_theta: 1e8, rope_scaling: { ...YARN, mscale: 0.7, mscale_all_dim: 2 } },
    shape: {
      ...SHAPE,
      angles: [1, 1e-4 / 40],
      stretch: mscale(0.7) / mscale(2),
      scale: mscale(2) ** 2,
    },
  },
  'values as wide as keys': {
    layer: { ...LAYER, v_head_dim: STILL + TURNING, n_group: 6, topk_group: 6 },
    shape: { ...SHAPE, value: STILL + TURNING, routing: { ...ROUTING, groups: 6, kept: 6 } },
  },
};

/** Shapes of the tensors of a layer. */
export function shapesOf(
  { layer, shape }: Kind,
  prefix = 'mtp_layers.0',
): Record<string, number[]> {
  const [E, I, F, S] = [12, 12, 28, 24];
  const dense = (at: string, inner: number) => ({
    [`${at}.gate_proj.weight`]: [inner, C],
    [`${at}.up_proj.weight`]: [inner, C],
    [`${at}.down_proj.weight`]: [C, inner],
  });
  const queries = H * (STILL + TURNING);
  const shapes: Record<string, number[]> = {
    'input_layernorm.weight': [C],
    'post_attention_layernorm.weight': [C],
    ...(layer['q_lora_rank'] === null
      ? { 'self_attn.q_proj.weight': [queries, C] }
      : {
          'self_attn.q_a_proj.weight': [QUERY_RANK, C],
          'self_attn.q_a_layernorm.weight': [QUERY_RANK],
          'self_attn.q_b_proj.weight': [queries, QUERY_RANK],
        }),
    'self_attn.kv_a_proj_with_mqa.weight': [RANK + TURNING, C],
    'self_attn.kv_a_layernorm.weight': [RANK],
    'self_attn.kv_b_proj.weight': [H * (STILL + shape.value), RANK],
    'self_attn.o_proj.weight': [C, H * shape.value],
    ...(layer['attention_bias'] === true && {
      ...(layer['q_lora_rank'] !== null && { 'self_attn.q_a_proj.bias': [QUERY_RANK] }),
      'self_attn.kv_a_proj_with_mqa.bias': [RANK + TURNING],
      'self_attn.o_proj.bias': [C],
    }),
    ...(shape.routing === undefined
      ? dense('mlp', F)
      : {
          'mlp.gate.weight': [E, C],
          'mlp.gate.e_score_correction_bias': [E],
          'mlp.experts.gate_up_proj': [E, 2 * I, C],
          'mlp.experts.down_proj': [E, C, I],
          ...dense('mlp.shared_experts', S),
        }),
  };
  return Object.fromEntries(
    Object.entries(shapes).map(([name, sizes]) => [`${prefix}.${name}`, sizes]),
  );
}

/** The tensors of a head. */
export const headTensors = (kind: Kind, seed = 3) =>
  tensorsOf(
    {
      'mtp_layers.0.input_proj.weight': [C, 2 * C],
      'mtp_layers.0.token_layernorm.weight': [C],
      'mtp_layers.0.hidden_layernorm.weight': [C],
      'mtp_layers.0.final_layernorm.weight': [C],
      ...shapesOf(kind),
    },
    seed,
  );

export const headOf = (kind: Kind, seed = 3, change: Readonly<Record<string, unknown>> = {}) =>
  mtpSource({ ...kind.layer, ...change }, headTensors(kind, seed));
