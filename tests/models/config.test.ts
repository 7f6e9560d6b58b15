// Reading config.json: both spellings of transformers, the defaults of its classes, and everything that is refused.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FormatError, UnsupportedError } from '../../src/kernels/errors.ts';
import { architectureOf } from '../../src/models/architectures.ts';

const golden = new URL('../golden/', import.meta.url);
const folders = readdirSync(golden).filter((name) => name.startsWith('tiny-random-'));
const readJson = (path: string) => JSON.parse(readFileSync(new URL(path, golden), 'utf8'));

const file = 'config.json';
const read = (json: unknown) => architectureOf(json, file).readConfig(json, file);

/** The least a config must say. */
const least = (type = 'llama', changes: object = {}): Record<string, unknown> => ({
  model_type: type,
  vocab_size: 64,
  hidden_size: 32,
  intermediate_size: 56,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  ...changes,
});

/** The same file as transformers 5 writes it. */
function respell({ rope_theta, rope_scaling, torch_dtype, ...rest }: Record<string, unknown>) {
  const { type, ...scaling } = (rope_scaling ?? { rope_type: 'default' }) as Record<
    string,
    unknown
  >;
  const rope_parameters = { rope_theta, ...scaling, ...(type ? { rope_type: type } : {}) };
  return { ...rest, dtype: torch_dtype, rope_parameters };
}

describe('readConfig', () => {
  it.each(folders)('reads %s in both spellings', (folder) => {
    const json = readJson(`${folder}/config.json`);
    const config = read(json);
    expect(config.modelType).toBe(json.model_type);
    expect(config.layers).toBe(json.num_hidden_layers);
    expect(config.width).toBe(json.hidden_size);
    expect(config.heads).toBe(json.num_attention_heads);
    expect(config.kvHeads).toBe(json.num_key_value_heads);
    expect(config.headDim).toBe(json.head_dim ?? json.hidden_size / json.num_attention_heads);
    expect(config.ffnWidth).toBe(json.intermediate_size);
    expect(config.vocab).toBe(json.vocab_size);
    expect(config.normEps).toBe(json.rms_norm_eps);
    expect(config.maxPositions).toBe(json.max_position_embeddings);
    expect(config.tied).toBe(json.tie_word_embeddings);
    expect(config.rope.theta).toBe(json.rope_theta);
    expect(config.bosToken).toBe(1);
    expect(config.eosTokens).toEqual([2]);
    expect(config.windows).toEqual(Array(config.layers).fill(folder.endsWith('swa8') ? 8 : 0));
    expect({ ...read(respell(json)), raw: null }).toEqual({ ...config, raw: null });
  });

  it('says which parts a checkpoint has', () => {
    const parts = (type: string, changes?: object) => {
      const { qkvBias, outBias, mlpBias, qkNorm } = read(least(type, changes));
      return { qkvBias, outBias, mlpBias, qkNorm };
    };
    const none = { qkvBias: false, outBias: false, mlpBias: false, qkNorm: false };
    expect(parts('llama')).toEqual(none);
    expect(parts('llama', { attention_bias: true })).toEqual({
      ...none,
      qkvBias: true,
      outBias: true,
    });
    expect(parts('llama', { mlp_bias: true })).toEqual({ ...none, mlpBias: true });
    expect(parts('mistral')).toEqual(none);
    expect(parts('qwen2')).toEqual({ ...none, qkvBias: true });
    expect(parts('qwen3')).toEqual({ ...none, qkNorm: true });
    expect(parts('qwen3', { attention_bias: true })).toEqual({
      qkvBias: true,
      outBias: true,
      mlpBias: false,
      qkNorm: true,
    });
  });

  it('takes the defaults of the class when a key is absent', () => {
    expect(read(least())).toMatchObject({
      headDim: 8,
      normEps: 1e-6,
      maxPositions: 2048,
      rope: { type: 'default', theta: 10_000 },
      tied: false,
      bosToken: 1,
      eosTokens: [2],
      windows: [0, 0, 0, 0],
    });
    expect(read(least('mistral'))).toMatchObject({
      maxPositions: 131_072,
      windows: [4096, 4096, 4096, 4096],
    });
    expect(read(least('qwen2'))).toMatchObject({
      headDim: 8,
      maxPositions: 32_768,
      bosToken: null,
      eosTokens: [],
    });
    expect(read(least('qwen3'))).toMatchObject({ headDim: 128, windows: [0, 0, 0, 0] });
    expect(read(least('llama', { num_key_value_heads: undefined })).kvHeads).toBe(4);
    expect(read(least('mistral', { num_key_value_heads: null })).kvHeads).toBe(4);
    expect(read(least('qwen3', { head_dim: null })).headDim).toBe(8);
  });

  it('reads one, several and no end-of-text tokens', () => {
    expect(read(least('llama', { eos_token_id: 7 })).eosTokens).toEqual([7]);
    expect(read(least('llama', { eos_token_id: [7, 9] })).eosTokens).toEqual([7, 9]);
    expect(read(least('llama', { eos_token_id: null, bos_token_id: null }))).toMatchObject({
      eosTokens: [],
      bosToken: null,
    });
  });

  it('keeps unknown keys in raw', () => {
    const json = least('llama', { pretraining_tp: 2, comment: { by: 'nobody' } });
    expect(read(json).raw).toBe(json);
  });

  it('slides the layers that Qwen says slide', () => {
    const windows = (changes: object) =>
      read(least('qwen2', { sliding_window: 16, ...changes })).windows;
    expect(windows({ max_window_layers: 1 })).toEqual([0, 0, 0, 0]);
    expect(windows({ use_sliding_window: true })).toEqual([0, 0, 0, 0]);
    expect(windows({ use_sliding_window: true, max_window_layers: 1 })).toEqual([0, 16, 16, 16]);
    expect(
      windows({ use_sliding_window: true, max_window_layers: 0, sliding_window: null }),
    ).toEqual([0, 0, 0, 0]);
    const [full, sliding] = ['full_attention', 'sliding_attention'];
    const listed = { use_sliding_window: true, layer_types: [sliding, full, full, sliding] };
    expect(windows(listed)).toEqual([16, 0, 0, 16]);
    expect(read(least('mistral', { layer_types: [sliding, full, full, full] })).windows).toEqual([
      4096, 0, 0, 0,
    ]);
  });

  it('slides no layer of a Llama, whose class does not know windows', () => {
    const keys = { sliding_window: 16, use_sliding_window: true, max_window_layers: 0 };
    expect(read(least('llama', keys)).windows).toEqual([0, 0, 0, 0]);
    const layer_types = Array(4).fill('sliding_attention');
    expect(() => read(least('llama', { ...keys, layer_types }))).toThrow(
      'layer_types[0]: expected "full_attention", got "sliding_attention"',
    );
  });

  it('reads every rope type with its options', () => {
    const rope = (rope_scaling: object, more: object = {}) =>
      read(least('llama', { rope_scaling, ...more })).rope;
    expect(rope({ type: 'linear', factor: 2 })).toEqual({
      type: 'linear',
      theta: 10_000,
      factor: 2,
    });
    expect(rope({ rope_type: 'default', rope_theta: 5 }, { rope_theta: 7 })).toEqual({
      type: 'default',
      theta: 5,
    });
    expect(rope({}, { rope_parameters: { rope_theta: 5 } })).toEqual({ type: 'default', theta: 5 });
    const yarn = {
      type: 'yarn',
      theta: 10_000,
      factor: 4,
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
    };
    expect(rope({ rope_type: 'yarn', factor: 4 })).toEqual({
      ...yarn,
      originalMaxPositions: 2048,
      attentionFactor: 0.1 * Math.log(4) + 1,
    });
    const given = { attention_factor: 1.25, beta_fast: 16, beta_slow: 2, truncate: false };
    expect(
      rope({ rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32, ...given }),
    ).toEqual({
      ...yarn,
      originalMaxPositions: 32,
      attentionFactor: 1.25,
      betaFast: 16,
      betaSlow: 2,
      truncate: false,
    });
    expect(rope({ rope_type: 'yarn', factor: 4, mscale: 1, mscale_all_dim: 1 })).toMatchObject({
      attentionFactor: 1,
    });
    expect(
      rope({ rope_type: 'yarn', factor: null, original_max_position_embeddings: 512 }),
    ).toMatchObject({ factor: 4 });
  });
});

describe('refusals', () => {
  const layer_types = ['full_attention', 'full_attention', 'chunked_attention', 'full_attention'];
  it.each<[string, string, object]>([
    ['hidden_act: expected "silu", got "gelu"', 'llama', { hidden_act: 'gelu' }],
    [
      'quantization_config: expected none, got {"quant_method":"gptq"}',
      'llama',
      { quantization_config: { quant_method: 'gptq' } },
    ],
    ['partial_rotary_factor: expected 1, got 0.5', 'llama', { partial_rotary_factor: 0.5 }],
    [
      'rope_parameters.partial_rotary_factor: expected 1, got 0.5',
      'llama',
      { rope_parameters: { partial_rotary_factor: 0.5 } },
    ],
    [
      'rope_scaling.rope_type: expected "default", "linear", "llama3" or "yarn", got "longrope"',
      'llama',
      { rope_scaling: { rope_type: 'longrope' } },
    ],
    [
      'rope_scaling.mrope_interleaved: expected no such parameter, got true',
      'qwen2',
      { rope_scaling: { type: 'default', mrope_interleaved: true } },
    ],
    [
      'rope_parameters.full_attention: expected one set of parameters for all layers',
      'qwen3',
      { rope_parameters: { full_attention: { rope_theta: 1 } } },
    ],
    [
      'layer_types[2]: expected "full_attention", got "chunked_attention"',
      'qwen3',
      { layer_types },
    ],
    ['attention_bias: expected false, got true', 'mistral', { attention_bias: true }],
    ['mlp_bias: expected false, got true', 'qwen2', { mlp_bias: true }],
  ])('names what it cannot do: %s', (message, type, changes) => {
    const attempt = () => read(least(type, changes));
    expect(attempt).toThrow(UnsupportedError);
    expect(attempt).toThrow(`config.json: ${message}`);
  });

  it.each<[string, string, object]>([
    ['vocab_size', 'llama', { vocab_size: undefined }],
    ['hidden_size', 'llama', { hidden_size: '32' }],
    ['num_hidden_layers', 'llama', { num_hidden_layers: 1e9 }],
    [
      'hidden_size: expected a multiple of num_attention_heads 4, got 30',
      'llama',
      { hidden_size: 30 },
    ],
    ['head_dim: expected an even number, got 5', 'llama', { head_dim: 5 }],
    [
      'num_key_value_heads: expected a divisor of num_attention_heads 4, got 3',
      'llama',
      { num_key_value_heads: 3 },
    ],
    [
      'rope_scaling.factor: expected a positive number, got undefined',
      'llama',
      { rope_scaling: { type: 'linear' } },
    ],
    ['layer_types: expected 4 entries, got 1', 'qwen2', { layer_types: ['full_attention'] }],
    ['eos_token_id', 'llama', { eos_token_id: 'end' }],
    ['rms_norm_eps', 'llama', { rms_norm_eps: 0 }],
  ])('names what is wrong: %s', (message, type, changes) => {
    const attempt = () => read(least(type, changes));
    expect(attempt).toThrow(FormatError);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(file);
  });

  it('refuses what is not an object', () => {
    for (const json of [null, [], 'llama', 3]) expect(() => read(json)).toThrow(FormatError);
  });

  it('refuses a model_type it does not know and lists the ones it does', () => {
    for (const type of ['gemma3', 'constructor', '__proto__']) {
      const attempt = () => read(JSON.parse(`{"model_type": "${type}"}`));
      expect(attempt).toThrow(UnsupportedError);
      expect(attempt).toThrow(
        `config.json: model_type: expected one of llama, mistral, qwen2, qwen3, got "${type}"`,
      );
    }
  });
});
