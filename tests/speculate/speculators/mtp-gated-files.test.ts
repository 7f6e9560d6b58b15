// Files of heads with layers of Qwen3-Next and Qwen3.5: what their configs may say, saving, converting from a checkpoint and back, and
// types of weights.
import { describe, expect, it } from 'vitest';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import type { TensorData } from '../../../src/tensor/safetensors.ts';
import { openFolder } from '../../../src/tensor/source.ts';
import { headOf, KINDS, nearZero, OWN, shapesOf, WIDTH } from './gated-kinds.ts';
import { nativeTensors, readLayer } from './mtp-heads.ts';
import {
  expectConverted,
  expectKept,
  expectMigrated,
  expectRefused,
  expectRounded,
  expectSaved,
} from './mtp-layers.ts';
import { golden, headSource, tensorsOf, thereAndBack } from './research.ts';
import { targetOn } from './target.ts';

const verifier = targetOn(cpu, 64);

describe('the config of a gated layer', () => {
  it('has the defaults of its class', () => {
    const sizes = { headDim: 256, normEps: 1e-6, maxPositions: 32_768, qkvBias: false };
    const rope = { type: 'default', theta: 10_000 };
    const mixture = { width: 512, sharedWidth: 512, normalised: true };
    expect(readLayer({ model_type: 'qwen3_next' })).toMatchObject({
      ...sizes,
      ...{ vocab: 151_936, width: 2048, layers: 48, heads: 16, kvHeads: 2, rope },
      rotaryDim: 64,
      isGated: true,
      mixture: { ...mixture, experts: 512, count: 10 },
    });
    expect(readLayer({ model_type: 'qwen3_5_text' })).toMatchObject({
      ...sizes,
      ...{ vocab: 248_320, width: 4096, ffnWidth: 12_288, layers: 32, heads: 16, kvHeads: 4, rope },
      rotaryDim: 64,
      isGated: true,
    });
    expect(readLayer({ model_type: 'qwen3_5_text' })).not.toHaveProperty('mixture');
    expect(readLayer({ model_type: 'qwen3_5_moe_text' })).toMatchObject({
      ...sizes,
      ...{ vocab: 248_320, width: 2048, layers: 40, heads: 16, kvHeads: 2, rope },
      rotaryDim: 64,
      isGated: true,
      mixture: { ...mixture, experts: 256, count: 8 },
    });
  });

  it.each([
    [{ partial_rotary_factor: 0.5 }, 128],
    [{ partial_rotary_factor: 0.5, rope_parameters: { partial_rotary_factor: 0.125 } }, 32],
    [{ rope_scaling: { rope_type: 'linear', factor: 2 } }, 64],
    [{ rope_scaling: { rope_type: 'linear', factor: 2, partial_rotary_factor: 1 } }, 256],
    [{ rope_parameters: { rope_theta: 5, mrope_section: [11, 11, 10] } }, 64],
  ])('turns the columns that %j says', (change, columns) => {
    expect(readLayer({ model_type: 'qwen3_next', ...change }).rotaryDim).toBe(columns);
  });

  it.each([
    [{ attn_output_gate: false }, 'UnsupportedError', 'attn_output_gate: expected true, got false'],
    [{ mlp_only_layers: [3] }, 'UnsupportedError', 'mlp_only_layers: expected none, got [3]'],
    [{ decoder_sparse_step: 2 }, 'UnsupportedError', 'decoder_sparse_step: expected 1, got 2'],
    [{ use_sliding_window: true }, 'UnsupportedError', 'use_sliding_window: expected false'],
    [{ hidden_act: 'gelu' }, 'UnsupportedError', 'hidden_act: expected "silu", got "gelu"'],
    [{ num_experts_per_tok: 513 }, 'FormatError', 'num_experts_per_tok: expected at most num_exp'],
    [{ num_experts: -1 }, 'FormatError', 'num_experts'],
    [{ head_dim: 6 }, 'FormatError', 'an even number of columns of 6, got 0.25, which are 1'],
    [{ partial_rotary_factor: 2 }, 'FormatError', 'partial_rotary_factor'],
    [{ rope_parameters: { rope_type: 'su' } }, 'UnsupportedError', 'rope_type: expected'],
    [
      { rope_parameters: { beta: 1 } },
      'UnsupportedError',
      'rope_parameters.beta: expected no such',
    ],
    [{ num_hidden_layers: 3 }, 'UnsupportedError', 'layer of full attention, got 3 of linear'],
    [{ layer_types: ['full_attention'] }, 'FormatError', 'layer_types: expected 48 entries, got 1'],
    [
      { num_hidden_layers: 1, layer_types: ['sliding_attention'] },
      'UnsupportedError',
      'layer_types[0]: expected "full_attention" or "linear_attention", got "sliding_attention"',
    ],
    [
      { model_type: 'qwen3_5_text', num_experts: 4 },
      'UnsupportedError',
      'num_experts: expected 0, got 4',
    ],
    [
      { model_type: 'qwen3_5_moe_text', norm_topk_prob: false },
      'UnsupportedError',
      'norm_topk_prob: expected true, got false',
    ],
    [
      { model_type: 'deepseek_v2', kv_lora_rank: 512 },
      'UnsupportedError',
      'expected llama, mistral, qwen2, qwen3, qwen3_next, qwen3_5_text, qwen3_5_moe_text, deepseek_v3 or glm4_moe, got "deepseek_v2"',
    ],
  ])('is refused with %j', (change, name, message) => {
    expectRefused(() => readLayer({ model_type: 'qwen3_next', ...change }), name, message);
  });

  it('is one of multi-token prediction only', () => {
    expect(() => readLayer({ model_type: 'qwen3_next' }, 'eagle3')).toThrow(
      'model_type: expected llama, mistral, qwen2 or qwen3, got "qwen3_next"',
    );
  });
});

describe('files of a head with a gated layer', () => {
  it.each(Object.keys(KINDS))('are saved byte by byte as they were read: %s', (name) =>
    expectSaved(verifier(), headOf(KINDS[name])),
  );

  it('keep their 16 bits, vectors too', async () => {
    const source = await openFolder(golden('heads/mtp-qwen3-next'));
    const saved = await expectKept(verifier(), source);
    expect(Object.values(saved).every((text) => text.startsWith('BF16'))).toBe(true);
    await source.close();
  });

  it('are no longer there when it has been disposed', async () => {
    const speculator = await Speculator.fromPretrained(headOf(KINDS['Qwen3-Next']), {
      verifier: verifier(),
    });
    const begun = speculator.files();
    speculator.dispose();
    const gone = 'files: expected a speculator, got a disposed one';
    await expect(begun).rejects.toThrow(gone);
    await expect(speculator.files()).rejects.toThrow(gone);
    await expect(speculator.savePretrained('nowhere')).rejects.toThrow(gone);
  });

  it('are refused with tensors of other shapes', async () => {
    const kind = KINDS['Qwen3-Next'];
    const wrong = { ...kind, layer: { ...kind.layer, num_experts: 7, num_attention_heads: 2 } };
    const source = headSource(
      JSON.parse(await headOf(wrong).text('config.json')),
      nearZero(tensorsOf({ ...OWN, ...shapesOf(kind) }, 3)),
    );
    const loading = Speculator.fromPretrained(source, { verifier: verifier() });
    await expect(loading).rejects.toThrow(
      'mtp_layers.0.mlp.experts.gate_up_proj: expected shape [7, 24, 32], got [6, 24, 32]',
    );
    await expect(loading).rejects.toThrow('q_proj.weight: expected shape [32, 32], got [64, 32]');
  });

  it.each(Object.keys(KINDS))('may be of an older version: %s', (name) =>
    expectMigrated(verifier(), headOf(KINDS[name])),
  );
});

describe('weights of a head with experts', () => {
  it.each([
    ['bf16', 0.05, 0],
    ['f16', 0.005, 0],
    ['q8_0', 0.1, 2],
    ['q4_0', 1.5, 2],
  ] as const)('may be %s', async (dtype, tolerance, ragged) => {
    const source = headOf(KINDS['Qwen3-Next']);
    const notes = await expectRounded(verifier(), source, { dtype, tolerance });
    expect(notes).toHaveLength(ragged);
  });
});

describe('a layer of Qwen3-Next or Qwen3.5 in the checkpoint of its target', () => {
  const native = (tensors: readonly TensorData[]) =>
    nativeTensors(tensors, 'mtp.layers.0', {
      input_proj: 'mtp.fc',
      final_layernorm: 'mtp.norm',
      hidden_layernorm: 'mtp.pre_fc_norm_hidden',
      token_layernorm: 'mtp.pre_fc_norm_embedding',
    });
  const OTHER = { 'model.norm.weight': [WIDTH] };

  it.each(['Qwen3.5', 'Qwen3.5 with experts', 'Qwen3-Next'])(
    'is converted, runs, and goes back: %s',
    async (name) => {
      const kind = KINDS[name];
      const tensors = nearZero(tensorsOf({ ...OWN, ...shapesOf(kind) }, 3));
      const config = { architectures: ['Whole'], text_config: kind.layer };
      const source = headSource(config, [...native(tensors), ...tensorsOf(OTHER, 1)], {
        shards: 2,
      });
      await expectConverted(verifier(), source, {
        head: headOf(kind),
        lost: (each) => Object.hasOwn(OTHER, each),
      });
    },
  );

  it('is refused where a tensor has another shape', async () => {
    const tensors = nearZero(tensorsOf({ ...OWN, ...shapesOf(KINDS['Qwen3-Next']) }, 3));
    const config = { ...KINDS['Qwen3-Next'].layer, shared_expert_intermediate_size: 24 };
    await expect(
      thereAndBack(headSource(config, native(tensors)), { target: verifier() }),
    ).rejects.toThrow('shared_expert.gate_proj.weight: expected shape [24, 32], got [20, 32]');
  });
});
