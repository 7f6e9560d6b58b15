// The configuration of a decoder layer of DeepSeek-V3 and R1 (DeepSeek-AI, "DeepSeek-V3", 2024), as the layer for multi-token prediction
// that comes with them is: latent attention, and a dense feed-forward or a mixture of experts in groups. Keys and defaults are
// those of DeepseekV3Config in transformers, and of the first code of the model `moe_layer_freq`, `topk_method` and `scoring_func`.
import * as z from 'zod';
import { UnsupportedError } from '../../kernels/errors.ts';
import type { RopeConfig } from '../../models/config.ts';
import {
  decoderFields,
  expectValue,
  parse,
  readCommon,
  ropeGiven,
  size,
  token,
  tokens,
  yarnScale,
} from '../../models/schema.ts';
import { readGroupedMixture } from './grouped-mixture.ts';
import type { LayerConfig } from './layer-config.ts';

/** What the class has where a file says nothing. */
export const LATENT_DEFAULTS = {
  deepseek_v3: {
    vocab_size: 129_280,
    hidden_size: 7168,
    intermediate_size: 18_432,
    moe_intermediate_size: 2048,
    num_hidden_layers: 61,
    num_attention_heads: 128,
    n_shared_experts: 1,
    n_routed_experts: 256,
    routed_scaling_factor: 2.5,
    kv_lora_rank: 512,
    q_lora_rank: 1536,
    qk_rope_head_dim: 64,
    v_head_dim: 128,
    qk_nope_head_dim: 128,
    n_group: 8,
    topk_group: 4,
    num_experts_per_tok: 8,
    first_k_dense_replace: 3,
    norm_topk_prob: true,
    max_position_embeddings: 4096,
    bos_token_id: 0,
    eos_token_id: 1,
    rope_interleave: true,
    attention_bias: false,
  },
} as const;

/** The keys that are read, beside those of the mixture. */
export const LATENT_FIELDS = z.looseObject({
  ...decoderFields,
  model_type: z.string(),
  max_position_embeddings: size,
  bos_token_id: token,
  eos_token_id: tokens,
  q_lora_rank: size.nullable(),
  kv_lora_rank: size,
  qk_nope_head_dim: size,
  qk_rope_head_dim: size.multipleOf(2),
  v_head_dim: size,
  rope_interleave: z.boolean(),
  attention_bias: z.boolean(),
});

/** Reads the config of such a layer; throws FormatError or UnsupportedError by name of the key. */
export function readLatent(json: Readonly<Record<string, unknown>>, file: string): LayerConfig {
  const fields = parse(LATENT_FIELDS, json, file);
  const { num_attention_heads: heads, qk_rope_head_dim: rotaryDim, v_head_dim: valueDim } = fields;
  // Every head has keys and values of its own.
  expectValue(file, 'num_key_value_heads', fields.num_key_value_heads ?? heads, heads);
  const headDim = fields.qk_nope_head_dim + rotaryDim;
  if (valueDim > headDim)
    throw new UnsupportedError(
      `${file}: v_head_dim: expected at most the ${headDim} of keys, got ${valueDim}`,
    );
  const mixture = readGroupedMixture(fields, file);
  // The width of a head that its class means is that of what turns.
  const heading = { head_dim: rotaryDim, num_key_value_heads: heads };
  const width = mixture === null ? {} : { intermediate_size: mixture.width };
  const { config } = readCommon(LATENT_FIELDS, { ...json, ...heading, ...width }, file);
  return {
    ...config,
    raw: json,
    headDim,
    qkvBias: fields.attention_bias,
    outBias: fields.attention_bias,
    mlpBias: false,
    qkNorm: false,
    windows: Array.from({ length: config.layers }, () => 0),
    rotaryDim,
    ...(mixture !== null && { mixture }),
    latent: {
      rank: fields.kv_lora_rank,
      queryRank: fields.q_lora_rank,
      valueDim,
      isInterleaved: fields.rope_interleave,
      scale:
        stretched(config.rope, ropeGiven(fields)?.['mscale_all_dim']) ** 2 / Math.sqrt(headDim),
    },
  };
}

/** What stretched positions multiply queries and keys with, beside YaRN's factor on cos and sin: 0.1·mscale·ln(factor) + 1. */
function stretched(rope: RopeConfig, mscale: unknown): number {
  return 'factor' in rope && typeof mscale === 'number' ? yarnScale(rope.factor, mscale) : 1;
}
