// Files of heads with layers of DeepSeek-V3: what their configs may say, saving, converting from a checkpoint and back, types of weights,
// and what the doctor says.
import { describe, expect, it } from 'vitest';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import { diagnose } from '../../../src/speculate/doctor/diagnose.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { openFolder } from '../../../src/tensor/source.ts';
import { spelled } from '../fixtures.ts';
import { headOf, headTensors, KINDS } from './latent-kinds.ts';
import { checkpointOf, readLayer } from './mtp-heads.ts';
import {
  expectDeepseekConverted,
  expectKept,
  expectMigrated,
  expectRefused,
  expectRounded,
  expectSaved,
} from './mtp-layers.ts';
import { golden, headSource, thereAndBack } from './research.ts';
import { targetOn } from './target.ts';

const verifier = targetOn(cpu, 64);

describe('the config of a latent layer', () => {
  const read = (layer: object = {}, algorithm?: string) =>
    readLayer({ model_type: 'deepseek_v3', ...layer }, algorithm);

  it('has the defaults of its class', () => {
    const config = read();
    expect(config).toMatchObject({
      ...{ vocab: 129_280, width: 7168, layers: 61, heads: 128, kvHeads: 128, headDim: 192 },
      ...{ normEps: 1e-6, maxPositions: 4096, qkvBias: false, outBias: false, qkNorm: false },
      ...{ rope: { type: 'default', theta: 10_000 }, bosToken: 0, eosTokens: [1], rotaryDim: 64 },
      latent: { rank: 512, queryRank: 1536, valueDim: 128, isInterleaved: true },
      mixture: {
        ...{ experts: 256, count: 8, width: 2048, scores: 'sigmoid', groups: 8, groupsKept: 4 },
        ...{ normalised: true, factor: 2.5 },
        ...{ sharedWidth: 2048, sharedName: 'shared_experts', sharedGate: false },
      },
    });
    expect(config.latent!.scale).toBeCloseTo(1 / Math.sqrt(192), 12);
  });

  it.each([
    [{ type: 'yarn', factor: 40, mscale: 1, mscale_all_dim: 1 }, 1, 40],
    [{ type: 'yarn', factor: 40, mscale: 0.5, mscale_all_dim: 2 }, 2, 40],
    [{ type: 'yarn', factor: 40 }, 0, 1],
    [{ type: 'yarn', factor: 0.5, mscale_all_dim: 1 }, 0, 1],
    [{ type: 'linear', factor: 4, mscale_all_dim: 1 }, 1, 4],
    [{ type: 'default', mscale_all_dim: 1 }, 0, 1],
  ])('multiplies scores twice with what %j says', (rope, by, factor) => {
    const whole = (0.1 * by * Math.log(factor) + 1) ** 2 / Math.sqrt(192);
    expect(read({ rope_scaling: rope }).latent!.scale).toBeCloseTo(whole, 12);
    expect(read({ rope_parameters: rope }).latent!.scale).toBeCloseTo(whole, 12);
  });

  it.each([
    [{ num_hidden_layers: 3 }, true],
    [{ num_hidden_layers: 2 }, false],
    [{ first_k_dense_replace: 0, num_hidden_layers: 1 }, true],
    [{ moe_layer_freq: 2 }, false],
    [{ moe_layer_freq: 2, num_hidden_layers: 60 }, true],
  ])('has experts in the layer after the last of its model or not: %j', (change, has) => {
    const { mixture, ffnWidth } = read(change);
    expect(mixture !== undefined).toBe(has);
    expect(ffnWidth).toBe(has ? 2048 : 18_432);
  });

  it.each([
    [
      { topk_method: 'greedy' },
      'UnsupportedError',
      'topk_method: expected "noaux_tc", got "greedy"',
    ],
    [
      { scoring_func: 'softmax' },
      'UnsupportedError',
      'scoring_func: expected "sigmoid", got "soft',
    ],
    [
      { n_group: 7 },
      'FormatError',
      'n_group: expected groups of two or more that n_routed_experts',
    ],
    [{ n_group: 256 }, 'FormatError', 'n_routed_experts 256 divides into, got 256'],
    [{ topk_group: 9 }, 'FormatError', 'topk_group: expected at most n_group 8, got 9'],
    [
      { topk_group: 1, num_experts_per_tok: 33 },
      'FormatError',
      'num_experts_per_tok: expected at most the 32 in 1 of 8 groups, got 33',
    ],
    [{ n_shared_experts: null }, 'FormatError', 'n_shared_experts'],
    [{ qk_rope_head_dim: 7 }, 'FormatError', 'qk_rope_head_dim'],
    [{ kv_lora_rank: null }, 'FormatError', 'kv_lora_rank'],
    [
      { v_head_dim: 193 },
      'UnsupportedError',
      'v_head_dim: expected at most the 192 of keys, got 193',
    ],
    [{ num_key_value_heads: 8 }, 'UnsupportedError', 'num_key_value_heads: expected 128, got 8'],
    [{ hidden_act: 'gelu' }, 'UnsupportedError', 'hidden_act: expected "silu", got "gelu"'],
    [{ partial_rotary_factor: 0.5 }, 'UnsupportedError', 'partial_rotary_factor: expected 1'],
    [
      { quantization_config: { quant_method: 'fp8' } },
      'UnsupportedError',
      'quantization_config: expected none, got {"quant_method":"fp8"}',
    ],
  ])('is refused with %j', (change, name, message) => {
    expectRefused(() => read(change), name, message);
  });

  it('is one of multi-token prediction only', () => {
    expect(() => read({}, 'eagle3')).toThrow(
      'model_type: expected llama, mistral, qwen2 or qwen3, got "deepseek_v3"',
    );
  });
});

describe('files of a head with a latent layer', () => {
  it.each(Object.keys(KINDS))('are saved byte by byte as they were read: %s', (name) =>
    expectSaved(verifier(), headOf(KINDS[name])),
  );

  it('keep their 16 bits, and the 32 of the bias of the router', async () => {
    const source = await openFolder(golden('heads/mtp-deepseek-v3'));
    const saved = await expectKept(verifier(), source);
    const wide = Object.entries(saved).filter(([, text]) => !text.startsWith('BF16'));
    expect(wide.map(([name]) => name)).toEqual(['mtp_layers.0.mlp.gate.e_score_correction_bias']);
    await source.close();
  });

  it('are refused with tensors of other shapes, and without a bias of the router', async () => {
    const source = headOf(KINDS['DeepSeek-V3'], 3, { n_routed_experts: 16, kv_lora_rank: 10 });
    const loading = Speculator.fromPretrained(source, { verifier: verifier() });
    await expect(loading).rejects.toThrow('gate.weight: expected shape [16, 32], got [12, 32]');
    await expect(loading).rejects.toThrow('kv_a_layernorm.weight: expected shape [10], got [12]');
    const bias = 'mtp_layers.0.mlp.gate.e_score_correction_bias';
    const rest = headTensors(KINDS['DeepSeek-V3']).filter(({ name }) => name !== bias);
    const config = JSON.parse(await headOf(KINDS['DeepSeek-V3']).text('config.json'));
    await expect(
      Speculator.fromPretrained(headSource(config, rest), { verifier: verifier() }),
    ).rejects.toThrow(`missing ${bias} [12]`);
  });

  it.each(Object.keys(KINDS))('may be of an older version: %s', (name) =>
    expectMigrated(verifier(), headOf(KINDS[name])),
  );

  it.each([
    ['bf16', 0.1],
    ['f16', 0.01],
  ] as const)('may be loaded as %s', async (dtype, tolerance) => {
    const source = headOf(KINDS['YaRN as in DeepSeek-V3']);
    await expectRounded(verifier(), source, { dtype, tolerance });
  });

  it('are measured by the doctor', async () => {
    const patient = { model: verifier(), tokenizer: spelled };
    const options = { prompts: [[1, 5, 9]], maxTokens: 6 };
    const { kind, fits, findings } = await diagnose(patient, headOf(KINDS['DeepSeek-V3']), options);
    expect(kind).toBe('speculator of algorithm mtp');
    expect(fits.map(({ label }) => label).toSorted()).toEqual(['', 'states after the final norm']);
    expect(findings).toContainEqual({
      gravity: 'fine',
      subject: 'weights',
      message: '20 tensors of finite numbers, none as it was before training',
    });
  });
});

describe('a layer of DeepSeek-V3 in the checkpoint of its target', () => {
  it.each(Object.keys(KINDS))('is converted, runs, and goes back: %s', (name) =>
    expectDeepseekConverted(verifier(), KINDS[name].layer, headTensors(KINDS[name])),
  );

  it('is refused where a tensor has another shape', async () => {
    const { layer } = KINDS['DeepSeek-V3'];
    const tensors = headTensors(KINDS['DeepSeek-V3']);
    const source = checkpointOf({ ...layer, n_shared_experts: 1 }, tensors);
    await expect(thereAndBack(source, { target: verifier() })).rejects.toThrow(
      'shared_experts.gate_proj.weight: expected shape [12, 32], got [24, 32]',
    );
  });
});
