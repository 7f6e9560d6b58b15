// What a conversion is held against: the sizes of its target, whether or not this version runs it, and its own config.
import { describe, expect, it } from 'vitest';
import { convertSpeculator } from '../../../src/speculate/speculators/convert.ts';
import type { TensorData } from '../../../src/tensor/safetensors.ts';
import { everyOther, headSource, tensorsOf, verifier } from './research.ts';

const [C, F, V] = [32, 56, 64];
const CONFIG = {
  model_type: 'llama',
  vocab_size: V,
  draft_vocab_size: V / 2,
  hidden_size: C,
  intermediate_size: F,
  num_attention_heads: 4,
  num_key_value_heads: 2,
};
const EAGLE3 = {
  'fc.weight': [C, 3 * C],
  'midlayer.input_layernorm.weight': [C],
  'midlayer.hidden_norm.weight': [C],
  'midlayer.post_attention_layernorm.weight': [C],
  'midlayer.self_attn.q_proj.weight': [C, 2 * C],
  'midlayer.self_attn.k_proj.weight': [C / 2, 2 * C],
  'midlayer.self_attn.v_proj.weight': [C / 2, 2 * C],
  'midlayer.self_attn.o_proj.weight': [C, C],
  'midlayer.mlp.gate_proj.weight': [F, C],
  'midlayer.mlp.up_proj.weight': [F, C],
  'midlayer.mlp.down_proj.weight': [C, F],
  'norm.weight': [C],
  'lm_head.weight': [V / 2, C],
};
const elsewhere = (change: object = {}) => ({
  config: { ...verifier.config, model_type: 'qwen3_moe', ...change },
  name: 'target',
});
/** The head with other shapes or another vocabulary. */
const head = (
  shapes: Readonly<Record<string, readonly number[]>> = {},
  { config = {}, vocabulary = everyOther(V) }: { config?: object; vocabulary?: TensorData[] } = {},
) =>
  headSource({ ...CONFIG, ...config }, [...tensorsOf({ ...EAGLE3, ...shapes }, 1), ...vocabulary]);
const zeros = everyOther(V).map((tensor) =>
  tensor.name === 'd2t' ? { ...tensor, data: new Uint8Array(4 * V) } : tensor,
);

describe('a head for a target that does not run here', () => {
  it('is converted, and the target is named', async () => {
    const { notes } = await convertSpeculator(head(), { verifier: elsewhere() });
    expect(notes).toEqual([
      expect.stringMatching(/^this version does not run its target: .*qwen3_moe/),
    ]);
  });

  it.each([
    ['a transposed matrix', head({ 'midlayer.self_attn.q_proj.weight': [2 * C, C] }), 'shape'],
    ['d2t of zeros', head({}, { vocabulary: zeros }), 'expected d2t to name the 32 tokens of t2d'],
    ['a bias it has no use for', head({ 'midlayer.mlp.up_proj.bias': [F] }), 'unused layers.0.mlp'],
  ])('is refused with %s', async (_, source, message) => {
    await expect(convertSpeculator(source, { verifier: elsewhere() })).rejects.toThrow(message);
  });

  it('is refused where the target says no sizes', async () => {
    const verifier = elsewhere({ num_hidden_layers: undefined });
    await expect(convertSpeculator(head(), { verifier })).rejects.toThrow(
      /head: target.*num_hidden_layers/s,
    );
  });
});

describe('a head that does not run here', () => {
  const activation = { hidden_act: 'gelu' };

  it('is converted, and what was not looked at is said', async () => {
    const { notes } = await convertSpeculator(head({}, { config: activation }), { verifier });
    expect(notes).toEqual([
      expect.stringMatching(/^this version does not run it: .*the shapes .* were not checked$/),
    ]);
  });

  it('has to have a vocabulary all the same', async () => {
    const source = head({}, { config: activation, vocabulary: zeros });
    await expect(convertSpeculator(source, { verifier })).rejects.toThrow('expected d2t to name');
  });

  it.each(['self_attn.v_proj', 'mlp.experts.0.gate_proj'])(
    'of multi-token prediction has to have %s',
    async (name) => {
      const at = 'mtp.layers.0';
      const experts = [0, 1].flatMap((e) =>
        ['gate_proj', 'up_proj', 'down_proj'].map((each) => `mlp.experts.${e}.${each}`),
      );
      const square = ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((each) => `self_attn.${each}`);
      const parts = [...square, ...experts, 'mlp.gate'];
      const source = (left: (part: string) => boolean) =>
        headSource(
          { ...verifier.config, model_type: 'qwen4_next', num_experts: 2 },
          tensorsOf(
            {
              'mtp.fc.weight': [C, 2 * C],
              'mtp.norm.weight': [C],
              'mtp.pre_fc_norm_embedding.weight': [C],
              'mtp.pre_fc_norm_hidden.weight': [C],
              [`${at}.input_layernorm.weight`]: [C],
              [`${at}.post_attention_layernorm.weight`]: [C],
              ...Object.fromEntries(
                parts.filter(left).map((part) => [`${at}.${part}.weight`, [C, C]]),
              ),
            },
            2,
          ),
        );
      expect((await convertSpeculator(source(() => true))).notes).toHaveLength(1);
      const isExpert = name.includes('experts');
      const without = source((part) => (isExpert ? !part.includes('experts') : part !== name));
      await expect(convertSpeculator(without)).rejects.toThrow(
        isExpert ? 'mlp.experts.gate_up_proj' : `expected mtp_layers.0.${name}.weight`,
      );
    },
  );
});

describe('numbers that are none', () => {
  it('are noted', async () => {
    const source = head();
    const broken = tensorsOf(EAGLE3, 1).map((tensor) =>
      tensor.name === 'norm.weight'
        ? { ...tensor, data: new Float32Array(C).fill(Number.NaN) }
        : tensor,
    );
    const { notes } = await convertSpeculator(headSource(CONFIG, [...broken, ...everyOther(V)]), {
      verifier,
    });
    expect(notes).toEqual(['norm.weight: 32 of 32 numbers are NaN or infinite']);
    expect((await convertSpeculator(source, { verifier })).notes).toEqual([]);
  });
});

describe('an error about options', () => {
  it('says whose they are', async () => {
    const fields = { block_size: 1 };
    await expect(convertSpeculator(head(), { verifier, fields })).rejects.toThrow(
      'fields: expected norm_before_residual, eagle_aux_hidden_state_layer_ids of the layout eagle3 of head, got block_size',
    );
    await expect(convertSpeculator(head(), { verifier, algorithm: 'peagle' })).rejects.toThrow(
      'head: expected a P-EAGLE head with mask_hidden, got an EAGLE-3 head without it',
    );
  });
});

describe('an error about names', () => {
  it('is short however many there are', async () => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`extra.${i}`, [1]]));
    await expect(convertSpeculator(head(many), { verifier })).rejects.toThrow(
      /got extra\.0, extra\.1, extra\.2, extra\.3, extra\.4, … \(300\)$/,
    );
  });
});
