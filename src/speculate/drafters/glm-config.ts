// The configuration of a decoder layer of GLM-4.5 (Z.ai, 2025), as the layer for multi-token prediction that comes with it is: attention
// as in Llama, of which a part of every head turns, and a dense feed-forward or a mixture of experts in groups. Keys and defaults are
// those of Glm4MoeConfig in transformers.
import * as z from 'zod';
import { decoderFields, parse, readCommon, size, token, tokens } from '../../models/schema.ts';
import { readGroupedMixture } from './grouped-mixture.ts';
import type { LayerConfig } from './layer-config.ts';
import { splitRope, turningColumns } from './partial-rope.ts';

/** What the class has where a file says nothing. */
export const GLM_DEFAULTS = {
  glm4_moe: {
    vocab_size: 151_552,
    hidden_size: 4096,
    intermediate_size: 10_944,
    num_hidden_layers: 46,
    num_attention_heads: 96,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    rms_norm_eps: 1e-5,
    attention_bias: false,
    moe_intermediate_size: 1408,
    num_experts_per_tok: 8,
    n_shared_experts: 1,
    n_routed_experts: 128,
    routed_scaling_factor: 1,
    n_group: 1,
    topk_group: 1,
    first_k_dense_replace: 1,
    norm_topk_prob: true,
    use_qk_norm: false,
    bos_token_id: null,
    eos_token_id: null,
  },
} as const;

/** The keys that are read, beside those of the mixture. */
export const GLM_FIELDS = z.looseObject({
  ...decoderFields,
  model_type: z.string(),
  num_key_value_heads: size,
  max_position_embeddings: size,
  bos_token_id: token,
  eos_token_id: tokens,
  attention_bias: z.boolean(),
  use_qk_norm: z.boolean(),
});

/** Reads the config of such a layer; throws FormatError or UnsupportedError by name of the key. */
export function readGlm(json: Readonly<Record<string, unknown>>, file: string): LayerConfig {
  const fields = parse(GLM_FIELDS, json, file);
  const mixture = readGroupedMixture(fields, file);
  const { factor, rest } = splitRope(fields, file, 0.5);
  const width = mixture === null ? {} : { intermediate_size: mixture.width };
  const { config } = readCommon(GLM_FIELDS, { ...json, ...rest, ...width }, file);
  return {
    ...config,
    raw: json,
    qkvBias: fields.attention_bias,
    outBias: false,
    mlpBias: false,
    qkNorm: fields.use_qk_norm,
    windows: Array.from({ length: config.layers }, () => 0),
    rotaryDim: turningColumns(config.headDim, factor, file),
    ...(mixture !== null && { mixture }),
  };
}
