// Qwen2 (Yang et al., 2024): Llama with biases on q, k and v, and a sliding window that only layers from
// `max_window_layers` on may have. Config keys, defaults and tensor names are those of Qwen2ForCausalLM in
// transformers.
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
  model_type: z.literal('qwen2'),
  num_key_value_heads: size.nullable().default(32),
  max_position_embeddings: size.default(32768),
  bos_token_id: token.default(null),
  eos_token_id: tokens.default(null),
  use_sliding_window: z.boolean().default(false),
  sliding_window: size.nullable().default(4096),
  max_window_layers: z.int().nonnegative().default(28),
  mlp_bias: z.boolean().default(false),
});

function readConfig(json: unknown, file: string): DecoderConfig {
  const { fields, config } = readCommon(schema, json, file);
  expectValue(file, 'mlp_bias', fields.mlp_bias, false);
  return {
    ...config,
    qkvBias: true,
    outBias: false,
    mlpBias: false,
    qkNorm: false,
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
    qBias: weight(`${at}.self_attn.q_proj.bias`, heads * headDim),
    kBias: weight(`${at}.self_attn.k_proj.bias`, kvHeads * headDim),
    vBias: weight(`${at}.self_attn.v_proj.bias`, kvHeads * headDim),
    mlpNorm: weight(`${at}.post_attention_layernorm.weight`, width),
    gate: weight(`${at}.mlp.gate_proj.weight`, ffnWidth, width),
    up: weight(`${at}.mlp.up_proj.weight`, ffnWidth, width),
    down: weight(`${at}.mlp.down_proj.weight`, width, ffnWidth),
  };
}

/** Qwen2 and Qwen2.5. */
export const qwen2: Architecture = {
  modelType: 'qwen2',
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
      const q = ops.linear(h, layer.q, layer.qBias); // [T, H*D]
      const k = ops.linear(h, layer.k, layer.kBias); // [T, G*D]
      const v = ops.linear(h, layer.v, layer.vBias); // [T, G*D]
      const seen = attend(ops, context, l, { q, k, v }); // [T, H*D]
      x = ops.add(x, ops.linear(seen, layer.out)); // [T, C]
      x = ops.add(x, feedForward(ops, ops.rmsNorm(x, layer.mlpNorm, eps), layer)); // [T, C]
      states.push(x);
    }
    return outputs(ops, context, states); // logits [K, V], hidden [K, C] per tap
  },
};
