// Multi-token prediction with layers of GLM-4.5 against transformers and a second implementation in float64, and the files of such heads.
import { describe, expect, it } from 'vitest';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import { BACKENDS, expectPlainText, expectSameBits } from './chains.ts';
import { type GlmShape, glmPasses } from './glm-head.ts';
import { mtpSource, readLayer } from './mtp-heads.ts';
import {
  expectDeepseekConverted,
  expectGolden,
  expectGoldenSecond,
  expectKept,
  expectMigrated,
  expectSecond,
} from './mtp-layers.ts';
import { golden, tensorsOf } from './research.ts';
import { targetOn } from './target.ts';

interface Kind {
  readonly layer: Readonly<Record<string, unknown>>;
  readonly shape: GlmShape;
}

const [C, H, G, D, E, I] = [32, 4, 2, 8, 8, 12];
const LAYER = {
  model_type: 'glm4_moe',
  vocab_size: 64,
  hidden_size: C,
  num_hidden_layers: 8,
  num_attention_heads: H,
  num_key_value_heads: G,
  head_dim: D,
  max_position_embeddings: 128,
  intermediate_size: 28,
  moe_intermediate_size: I,
  n_routed_experts: E,
  num_experts_per_tok: 2,
};
const SHAPE: GlmShape = {
  ...{ heads: H, kvHeads: G, headDim: D, turning: 4, theta: 10_000, eps: 1e-5 },
  routing: { perRow: 2, groups: 1, kept: 1, normalised: true, factor: 1 },
};
const { routing: _, ...DENSE } = SHAPE;
const KINDS: Readonly<Record<string, Kind>> = {
  'GLM-4.5': {
    layer: { ...LAYER, attention_bias: true, use_qk_norm: true, rope_theta: 1e6 },
    shape: { ...SHAPE, theta: 1e6 },
  },
  'without biases and norms, in groups': {
    layer: { ...LAYER, n_group: 4, topk_group: 2, routed_scaling_factor: 2.5 },
    shape: {
      ...SHAPE,
      routing: { perRow: 2, groups: 4, kept: 2, normalised: true, factor: 2.5 },
    },
  },
  'dense, all of a head turning': {
    layer: { ...LAYER, first_k_dense_replace: 9, partial_rotary_factor: 1 },
    shape: { ...DENSE, turning: D },
  },
};

/** The tensors of a head. */
function headTensors({ layer, shape }: Kind) {
  const dense = (prefix: string, inner: number) => ({
    [`${prefix}.gate_proj.weight`]: [inner, C],
    [`${prefix}.up_proj.weight`]: [inner, C],
    [`${prefix}.down_proj.weight`]: [C, inner],
  });
  const shapes = {
    'input_proj.weight': [C, 2 * C],
    'token_layernorm.weight': [C],
    'hidden_layernorm.weight': [C],
    'final_layernorm.weight': [C],
    'input_layernorm.weight': [C],
    'post_attention_layernorm.weight': [C],
    'self_attn.q_proj.weight': [H * D, C],
    'self_attn.k_proj.weight': [G * D, C],
    'self_attn.v_proj.weight': [G * D, C],
    'self_attn.o_proj.weight': [C, H * D],
    ...(layer['attention_bias'] === true && {
      'self_attn.q_proj.bias': [H * D],
      'self_attn.k_proj.bias': [G * D],
      'self_attn.v_proj.bias': [G * D],
    }),
    ...(layer['use_qk_norm'] === true && {
      'self_attn.q_norm.weight': [D],
      'self_attn.k_norm.weight': [D],
    }),
    ...(shape.routing === undefined
      ? dense('mlp', 28)
      : {
          'mlp.gate.weight': [E, C],
          'mlp.gate.e_score_correction_bias': [E],
          'mlp.experts.gate_up_proj': [E, 2 * I, C],
          'mlp.experts.down_proj': [E, C, I],
          ...dense('mlp.shared_experts', I),
        }),
  };
  const named = Object.entries(shapes).map(([name, sizes]) => [`mtp_layers.0.${name}`, sizes]);
  return tensorsOf(Object.fromEntries(named), 4);
}

const headOf = (kind: Kind) => mtpSource(kind.layer, headTensors(kind));

const GOLDEN = golden('heads/mtp-glm4-moe');
const GOLDEN_SHAPE: GlmShape = {
  ...{ heads: 2, kvHeads: 1, headDim: 16, turning: 8, theta: 1e6, eps: 1e-5 },
  routing: { perRow: 3, groups: 2, kept: 1, normalised: true, factor: 2.5 },
};

describe.each(BACKENDS)('layers of GLM on %s', (_, make) => {
  const verifier = targetOn(make, 96);

  it('give the logits and states of transformers', () => expectGolden(verifier(), GOLDEN));

  it.each(Object.entries(KINDS))('give those of the second implementation: %s', (_, kind) =>
    expectSecond(verifier(), headOf(kind), { passes: glmPasses, shape: kind.shape }),
  );

  it('give a row the same bits in any company', () =>
    expectSameBits(verifier(), headOf(KINDS['GLM-4.5'])));
});

describe('heads with layers of GLM', () => {
  const verifier = targetOn(() => wasm({ threads: 1 }), 96);

  it('have a second implementation that is right', () =>
    expectGoldenSecond(verifier(), GOLDEN, { passes: glmPasses, shape: GOLDEN_SHAPE }));

  it.each(Object.keys(KINDS))('leave the text of the target as it is: %s', (name) =>
    expectPlainText(verifier(), headOf(KINDS[name])),
  );

  it.each(Object.keys(KINDS))('keep their files, also through a migration: %s', async (name) => {
    const source = headOf(KINDS[name]);
    await expectKept(verifier(), source);
    await expectMigrated(verifier(), source);
  });

  it.each(Object.keys(KINDS))('are converted, run, and go back: %s', (name) =>
    expectDeepseekConverted(verifier(), KINDS[name].layer, headTensors(KINDS[name])),
  );
});

describe('the config of a layer of GLM', () => {
  it('has the defaults of its class', () => {
    const config = readLayer({ model_type: 'glm4_moe', head_dim: 128 });
    expect(config).toMatchObject({
      ...{ vocab: 151_552, width: 4096, layers: 46, heads: 96, kvHeads: 8, headDim: 128 },
      ...{ normEps: 1e-5, maxPositions: 131_072, qkvBias: false, outBias: false, qkNorm: false },
      ...{ rope: { type: 'default', theta: 10_000 }, bosToken: null, eosTokens: [], rotaryDim: 64 },
      mixture: {
        ...{ experts: 128, count: 8, width: 1408, scores: 'sigmoid', groups: 1, groupsKept: 1 },
        ...{ normalised: true, factor: 1, sharedWidth: 1408, sharedGate: false },
      },
    });
    expect(config).not.toHaveProperty('latent');
  });

  it.each([
    [{ partial_rotary_factor: 0.25 }, 32],
    [{ rope_parameters: { rope_theta: 1e6, partial_rotary_factor: 1 } }, 128],
    [{ partial_rotary_factor: 0.25, rope_parameters: { partial_rotary_factor: 0.5 } }, 64],
  ])('turns the columns that %j says', (change, columns) => {
    const layer = { model_type: 'glm4_moe', head_dim: 128, ...change };
    expect(readLayer(layer).rotaryDim).toBe(columns);
  });

  it.each([
    [{ hidden_act: 'gelu' }, 'hidden_act: expected "silu", got "gelu"'],
    [{ head_dim: 6 }, 'an even number of columns of 6, got 0.5, which are 3'],
    [{ topk_group: 2 }, 'topk_group: expected at most n_group 1, got 2'],
    [{ scoring_func: 'softmax' }, 'scoring_func: expected "sigmoid", got "softmax"'],
    [{ quantization_config: {} }, 'quantization_config: expected none, got {}'],
  ])('is refused with %j', (change, message) => {
    expect(() => readLayer({ model_type: 'glm4_moe', head_dim: 128, ...change })).toThrow(message);
  });
});
