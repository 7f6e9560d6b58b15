// The configuration of a decoder layer of Qwen3-Next and Qwen3.5 (Qwen team, 2025), as the layer for multi-token prediction that comes
// with them is: attention with a gate, of which a part of every head turns, and a dense feed-forward or a mixture of experts.
// Keys and defaults are those of Qwen3NextConfig, Qwen3_5TextConfig and Qwen3_5MoeTextConfig in transformers.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import {
  decoderFields,
  expectValue,
  parse,
  readCommon,
  size,
  token,
  tokens,
} from '../../models/schema.ts';
import type { LayerConfig, Mixture } from './layer-config.ts';
import { splitRope, turningColumns } from './partial-rope.ts';

/** What the classes have where a file says nothing. */
export const GATED_DEFAULTS = {
  qwen3_next: {
    vocab_size: 151_936,
    hidden_size: 2048,
    intermediate_size: 5632,
    num_hidden_layers: 48,
    num_attention_heads: 16,
    num_key_value_heads: 2,
    num_experts: 512,
    num_experts_per_tok: 10,
  },
  qwen3_5_text: {
    vocab_size: 248_320,
    hidden_size: 4096,
    intermediate_size: 12_288,
    num_hidden_layers: 32,
    num_attention_heads: 16,
    num_key_value_heads: 4,
    num_experts: 0,
  },
  qwen3_5_moe_text: {
    vocab_size: 248_320,
    hidden_size: 2048,
    num_hidden_layers: 40,
    num_attention_heads: 16,
    num_key_value_heads: 2,
    num_experts: 256,
    num_experts_per_tok: 8,
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, number>>>>;

const isFamily = (type: string): type is keyof typeof GATED_DEFAULTS =>
  Object.hasOwn(GATED_DEFAULTS, type);

const schema = z.looseObject({
  ...decoderFields,
  model_type: z.string().refine(isFamily),
  // That of an expert is the one that counts in a mixture.
  intermediate_size: size.nullish(),
  num_key_value_heads: size,
  head_dim: size.default(256),
  max_position_embeddings: size.default(32_768),
  bos_token_id: token.default(null),
  eos_token_id: tokens.default(null),
  attention_bias: z.boolean().default(false),
  attn_output_gate: z.boolean().default(true),
  use_sliding_window: z.boolean().default(false),
  full_attention_interval: size.default(4),
  num_experts: z.int().nonnegative(),
});

const mixtureSchema = z.looseObject({
  num_experts: size,
  num_experts_per_tok: size,
  moe_intermediate_size: size.default(512),
  shared_expert_intermediate_size: size.default(512),
  norm_topk_prob: z.boolean().default(true),
  decoder_sparse_step: size.default(1),
  mlp_only_layers: z.array(z.int()).nullish(),
});

/** The keys that are read. */
export const GATED_FIELDS = schema.extend(mixtureSchema.shape);

/** Reads the config of such a layer; throws FormatError or UnsupportedError by name of the key. */
export function readGated(json: Readonly<Record<string, unknown>>, file: string): LayerConfig {
  const fields = parse(schema, json, file);
  expectValue(file, 'attn_output_gate', fields.attn_output_gate, true);
  expectValue(file, 'use_sliding_window', fields.use_sliding_window, false);
  if (fields.model_type === 'qwen3_5_text') expectValue(file, 'num_experts', fields.num_experts, 0);
  checkLayers(fields, file);
  const mixture = fields.num_experts > 0 ? readMixture(fields, file) : null;
  const { factor, rest } = splitRope(fields, file, 0.25);
  const width = mixture === null ? {} : { intermediate_size: mixture.width };
  const common = schema.extend({ intermediate_size: size });
  const { config } = readCommon(common, { ...json, ...rest, ...width }, file);
  return {
    ...config,
    raw: json,
    qkvBias: fields.attention_bias,
    outBias: fields.attention_bias,
    mlpBias: false,
    qkNorm: true,
    windows: Array.from({ length: config.layers }, () => 0),
    rotaryDim: turningColumns(config.headDim, factor, file),
    ...(mixture !== null && { mixture }),
    isGated: true,
  };
}

type Fields = z.output<typeof schema>;

/** The layer of a head is one of full attention of its model. */
function checkLayers(fields: Fields, file: string): void {
  const { num_hidden_layers: layers, full_attention_interval: interval } = fields;
  const types =
    fields.layer_types ??
    Array.from({ length: layers }, (_, l) => ((l + 1) % interval === 0 ? FULL : LINEAR));
  if (types.length !== layers)
    throw new FormatError(`${file}: layer_types: expected ${layers} entries, got ${types.length}`);
  const other = types.findIndex((type) => type !== FULL && type !== LINEAR);
  if (other >= 0)
    throw new UnsupportedError(
      `${file}: layer_types[${other}]: expected "${FULL}" or "${LINEAR}", got ${JSON.stringify(types[other])}`,
    );
  if (!types.includes(FULL))
    throw new UnsupportedError(
      `${file}: layer_types: expected a layer of full attention, got ${layers} of ${LINEAR}`,
    );
}

const FULL = 'full_attention';
const LINEAR = 'linear_attention';

function readMixture(json: Fields, file: string): Mixture {
  const fields = parse(mixtureSchema, json, file);
  const { num_experts: experts, num_experts_per_tok: count, mlp_only_layers: dense } = fields;
  if (count > experts)
    throw new FormatError(
      `${file}: num_experts_per_tok: expected at most num_experts ${experts}, got ${count}`,
    );
  // Whether the layer of the head would be one of those with experts is not said anywhere.
  expectValue(file, 'decoder_sparse_step', fields.decoder_sparse_step, 1);
  if (dense != null && dense.length > 0)
    throw new UnsupportedError(
      `${file}: mlp_only_layers: expected none, got ${JSON.stringify(dense)}`,
    );
  // The class of Qwen3.5 does not ask.
  if (json.model_type === 'qwen3_5_moe_text')
    expectValue(file, 'norm_topk_prob', fields.norm_topk_prob, true);
  return {
    experts,
    count,
    width: fields.moe_intermediate_size,
    scores: 'softmax',
    groups: 1,
    groupsKept: 1,
    normalised: fields.norm_topk_prob,
    factor: 1,
    sharedWidth: fields.shared_expert_intermediate_size,
    sharedName: 'shared_expert',
    sharedGate: true,
  };
}
