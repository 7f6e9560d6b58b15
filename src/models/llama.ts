// Llama (Touvron et al., 2023; Dubey et al., 2024): pre-norm decoder with rotary positions, grouped-query attention
// and SwiGLU. Config keys, defaults and tensor names are those of LlamaForCausalLM in transformers.
import * as z from 'zod';
import type { Architecture, LayerTree, WeightSpec } from './architecture.ts';
import type { DecoderConfig } from './config.ts';
import { attend, feedForward, outputs, weight } from './layers.ts';
import { decoderFields, readCommon, readWindows, size, token, tokens } from './schema.ts';

const schema = z.looseObject({
  ...decoderFields,
  model_type: z.literal('llama'),
  max_position_embeddings: size.default(2048),
  bos_token_id: token.default(1),
  eos_token_id: tokens.default(2),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

function readConfig(json: unknown, file: string): DecoderConfig {
  const { fields, config } = readCommon(schema, json, file);
  return {
    ...config,
    qkvBias: fields.attention_bias,
    outBias: fields.attention_bias,
    mlpBias: fields.mlp_bias,
    qkNorm: false,
    windows: readWindows(fields, file, { window: null }),
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
    mlpNorm: weight(`${at}.post_attention_layernorm.weight`, width),
    gate: weight(`${at}.mlp.gate_proj.weight`, ffnWidth, width),
    up: weight(`${at}.mlp.up_proj.weight`, ffnWidth, width),
    down: weight(`${at}.mlp.down_proj.weight`, width, ffnWidth),
    ...(config.mlpBias && {
      gateBias: weight(`${at}.mlp.gate_proj.bias`, ffnWidth),
      upBias: weight(`${at}.mlp.up_proj.bias`, ffnWidth),
      downBias: weight(`${at}.mlp.down_proj.bias`, width),
    }),
  };
}

/** Llama 1 to 3 and everything saved in their shape. */
export const llama: Architecture = {
  modelType: 'llama',
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
      x = ops.add(x, ops.linear(seen, layer.out, layer.outBias)); // [T, C]
      x = ops.add(x, feedForward(ops, ops.rmsNorm(x, layer.mlpNorm, eps), layer)); // [T, C]
      states.push(x);
    }
    return outputs(ops, context, states); // logits [K, V], hidden [K, C] per tap
  },
};
