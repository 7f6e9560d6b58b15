// Qwen3 (Yang et al., 2025), the dense models: Llama with q and k normed per head before they are rotated, and a
// head width of its own. Config keys, defaults and tensor names are those of Qwen3ForCausalLM in transformers.
import * as z from 'zod';
import type { Architecture, LayerTree, WeightSpec } from './architecture.ts';
import type { DecoderConfig } from './config.ts';
import { attend, feedForward, outputs, weight } from './layers.ts';
import {
  decoderFields,
  expectValue,
  readCommon,
  readWindows,
  size,
  token,
  tokens,
} from './schema.ts';

const schema = z.looseObject({
  ...decoderFields,
  model_type: z.literal('qwen3'),
  num_key_value_heads: size.nullable().default(32),
  head_dim: size.nullable().default(128),
  max_position_embeddings: size.default(32768),
  bos_token_id: token.default(null),
  eos_token_id: tokens.default(null),
  use_sliding_window: z.boolean().default(false),
  sliding_window: size.nullable().default(4096),
  max_window_layers: z.int().nonnegative().default(28),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

function readConfig(json: unknown, file: string): DecoderConfig {
  const { fields, config } = readCommon(schema, json, file);
  expectValue(file, 'mlp_bias', fields.mlp_bias, false);
  return {
    ...config,
    qkvBias: fields.attention_bias,
    outBias: fields.attention_bias,
    mlpBias: false,
    qkNorm: true,
    windows: readWindows(fields, file, {
      window: fields.use_sliding_window ? fields.sliding_window : null,
      first: fields.max_window_layers,
    }),
  };
}

function layerWeights(config: DecoderConfig, l: number): LayerTree<WeightSpec> {
  const { width, heads, kvHeads, headDim, ffnWidth } = config;
  const at = `model.layers.${l}`;
  return {
    attentionNorm: weight(`${at}.input_layernorm.weight`, width),
    q: weight(`${at}.self_attn.q_proj.weight`, heads * headDim, width),
    k: weight(`${at}.self_attn.k_proj.weight`, kvHeads * headDim, width),
    v: weight(`${at}.self_attn.v_proj.weight`, kvHeads * headDim, width),
    out: weight(`${at}.self_attn.o_proj.weight`, width, heads * headDim),
    ...(config.qkvBias && {
      qBias: weight(`${at}.self_attn.q_proj.bias`, heads * headDim),
      kBias: weight(`${at}.self_attn.k_proj.bias`, kvHeads * headDim),
      vBias: weight(`${at}.self_attn.v_proj.bias`, kvHeads * headDim),
      outBias: weight(`${at}.self_attn.o_proj.bias`, width),
    }),
    qNorm: weight(`${at}.self_attn.q_norm.weight`, headDim),
    kNorm: weight(`${at}.self_attn.k_norm.weight`, headDim),
    mlpNorm: weight(`${at}.post_attention_layernorm.weight`, width),
    gate: weight(`${at}.mlp.gate_proj.weight`, ffnWidth, width),
    up: weight(`${at}.mlp.up_proj.weight`, ffnWidth, width),
    down: weight(`${at}.mlp.down_proj.weight`, width, ffnWidth),
  };
}

/** Qwen3 (dense). */
export const qwen3: Architecture = {
  modelType: 'qwen3',
  fields: schema,
  readConfig,
  weights(config) {
    const embed = weight('model.embed_tokens.weight', config.vocab, config.width);
    return {
      embed,
      layers: Array.from({ length: config.layers }, (_, l) => layerWeights(config, l)),
      norm: weight('model.norm.weight', config.width),
      head: config.tied ? embed : weight('lm_head.weight', config.vocab, config.width),
    };
  },
  forward(ops, context) {
    const { weights, rows } = context;
    const eps = context.config.normEps;
    let x = ops.gather(weights.embed, rows.tokens); // [T, C]
    const states = [x];
    for (const [l, layer] of weights.layers.entries()) {
      const h = ops.rmsNorm(x, layer.attentionNorm, eps); // [T, C]
      const q = ops.rmsNorm(ops.linear(h, layer.q, layer.qBias), layer.qNorm!, eps); // [T, H*D], normed per head
      const k = ops.rmsNorm(ops.linear(h, layer.k, layer.kBias), layer.kNorm!, eps); // [T, G*D], normed per head
      const v = ops.linear(h, layer.v, layer.vBias); // [T, G*D]
      const seen = attend(ops, context, l, { q, k, v }); // [T, H*D]
      x = ops.add(x, ops.linear(seen, layer.out, layer.outBias)); // [T, C]
      x = ops.add(x, feedForward(ops, ops.rmsNorm(x, layer.mlpNorm, eps), layer)); // [T, C]
      states.push(x);
    }
    return outputs(ops, context, states); // logits [K, V], hidden [K, C] per tap
  },
};
