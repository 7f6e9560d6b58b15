// Kinds of layers of Qwen3-Next and Qwen3.5, and heads with one of seeded numbers.
import type { GatedShape } from './gated-head.ts';
import { mtpSource } from './mtp-heads.ts';
import { tensorsOf } from './research.ts';

/** A kind of layer: what its config says, and what that means. */
export interface Kind {
  readonly layer: Readonly<Record<string, unknown>>;
  readonly shape: GatedShape;
}

/** Width of the stream. */
export const WIDTH = 32;
const C = WIDTH;

const COMMON = {
  vocab_size: 64,
  hidden_size: C,
  num_hidden_layers: 8,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 8,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-6,
};
const SHAPE = { heads: 4, kvHeads: 2, headDim: 8, turning: 2, theta: 10_000, eps: 1e-6 };
const EXPERTS = {
  num_experts: 6,
  num_experts_per_tok: 3,
  moe_intermediate_size: 12,
  shared_expert_intermediate_size: 20,
};
export const KINDS: Readonly<Record<string, Kind>> = {
  'Qwen3.5': {
    layer: { ...COMMON, model_type: 'qwen3_5_text', intermediate_size: 28 },
    shape: SHAPE,
  },
  'Qwen3.5 with biases, half of a head turning': {
    layer: {
      ...COMMON,
      model_type: 'qwen3_5_text',
      intermediate_size: 28,
      attention_bias: true,
      rope_parameters: { rope_theta: 5000, partial_rotary_factor: 0.5, mrope_section: [2, 0, 0] },
    },
    shape: { ...SHAPE, turning: 4, theta: 5000 },
  },
  'Qwen3.5 with experts': {
    layer: { ...COMMON, ...EXPERTS, model_type: 'qwen3_5_moe_text', partial_rotary_factor: 1 },
    shape: { ...SHAPE, turning: 8, routing: { perRow: 3, normalised: true } },
  },
  'Qwen3-Next': {
    layer: { ...COMMON, ...EXPERTS, model_type: 'qwen3_next', rope_theta: 1e6 },
    shape: { ...SHAPE, theta: 1e6, routing: { perRow: 3, normalised: true } },
  },
  'Qwen3-Next with shares as they are': {
    layer: { ...COMMON, ...EXPERTS, model_type: 'qwen3_next', norm_topk_prob: false },
    shape: { ...SHAPE, routing: { perRow: 3, normalised: false } },
  },
  'Qwen3-Next without experts': {
    layer: { ...COMMON, model_type: 'qwen3_next', intermediate_size: 28, num_experts: 0 },
    shape: SHAPE,
  },
};

/** Shapes of the tensors of a layer. */
export function shapesOf({ layer }: Kind, prefix = 'mtp_layers.0'): Record<string, number[]> {
  const inner = layer['intermediate_size'] as number;
  const [E, I, S] = Object.values(EXPERTS).toSpliced(1, 1);
  const feedForward: Record<string, number[]> =
    Number(layer['num_experts'] ?? 0) > 0
      ? {
          'mlp.gate.weight': [E, C],
          'mlp.experts.gate_up_proj': [E, 2 * I, C],
          'mlp.experts.down_proj': [E, C, I],
          'mlp.shared_expert.gate_proj.weight': [S, C],
          'mlp.shared_expert.up_proj.weight': [S, C],
          'mlp.shared_expert.down_proj.weight': [C, S],
          'mlp.shared_expert_gate.weight': [1, C],
        }
      : {
          'mlp.gate_proj.weight': [inner, C],
          'mlp.up_proj.weight': [inner, C],
          'mlp.down_proj.weight': [C, inner],
        };
  const shapes: Record<string, number[]> = {
    'input_layernorm.weight': [C],
    'post_attention_layernorm.weight': [C],
    'self_attn.q_proj.weight': [64, C],
    'self_attn.k_proj.weight': [16, C],
    'self_attn.v_proj.weight': [16, C],
    'self_attn.o_proj.weight': [C, 32],
    'self_attn.q_norm.weight': [8],
    'self_attn.k_norm.weight': [8],
    ...(layer['attention_bias'] === true && {
      'self_attn.q_proj.bias': [64],
      'self_attn.k_proj.bias': [16],
      'self_attn.v_proj.bias': [16],
      'self_attn.o_proj.bias': [C],
    }),
    ...feedForward,
  };
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [`${prefix}.${name}`, shape]),
  );
}

/** Beside the layer's. */
export const OWN = {
  'mtp_layers.0.input_proj.weight': [C, 2 * C],
  'mtp_layers.0.token_layernorm.weight': [C],
  'mtp_layers.0.hidden_layernorm.weight': [C],
  'mtp_layers.0.final_layernorm.weight': [C],
};

/** Vectors near zero, as such norms are. */
export const nearZero = (tensors: ReturnType<typeof tensorsOf>) =>
  tensors.map((tensor) =>
    tensor.shape.length === 1
      ? { ...tensor, data: (tensor.data as Float32Array).map((value) => value - 1) }
      : tensor,
  );

export const headOf = (kind: Kind, seed = 3, change: Readonly<Record<string, unknown>> = {}) =>
  mtpSource({ ...kind.layer, ...change }, nearZero(tensorsOf({ ...OWN, ...shapesOf(kind) }, seed)));
