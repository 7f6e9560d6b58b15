// DFlash heads of z-lab, and those with one matrix for queries, keys and values.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { convertSpeculator, exportResearch } from '../../../src/speculate/speculators/convert.ts';
import { memorySource } from '../../../src/tensor/source.ts';
import {
  contentOf,
  DFLASH,
  headSource,
  TARGET,
  tensorsOf,
  thereAndBack,
  verifier,
  wholeTensors,
} from './research.ts';

const [C, F, V] = [32, 48, 64];
type Shapes = Record<string, readonly number[]>;
const CONFIG = { ...DFLASH, auto_map: { AutoModel: 'dflash.DFlashDraftModel' } };
const shapesOf = (
  attention: (at: string) => Shapes,
  { columns = 3 * C, layers = 2 }: { readonly columns?: number; readonly layers?: number } = {},
): Shapes => ({
  'fc.weight': [C, columns],
  'hidden_norm.weight': [C],
  'norm.weight': [C],
  ...Object.assign(
    {},
    ...Array.from({ length: layers }, (_, l) => ({
      [`layers.${l}.input_layernorm.weight`]: [C],
      [`layers.${l}.post_attention_layernorm.weight`]: [C],
      ...attention(`layers.${l}.self_attn`),
      [`layers.${l}.self_attn.o_proj.weight`]: [C, 32],
      [`layers.${l}.self_attn.q_norm.weight`]: [8],
      [`layers.${l}.self_attn.k_norm.weight`]: [8],
      [`layers.${l}.mlp.gate_proj.weight`]: [F, C],
      [`layers.${l}.mlp.up_proj.weight`]: [F, C],
      [`layers.${l}.mlp.down_proj.weight`]: [C, F],
    })),
  ),
});
const separate = (at: string): Shapes => ({
  [`${at}.q_proj.weight`]: [32, C],
  [`${at}.k_proj.weight`]: [16, C],
  [`${at}.v_proj.weight`]: [16, C],
});
const fused = (at: string): Shapes => ({ [`${at}.qkv_proj.weight`]: [64, C] });
const gated = (at: string): Shapes => ({ ...fused(at), [`${at}.g_proj.weight`]: [4, C] });

let target: Decoder;
beforeAll(async () => {
  target = await loadModel(TARGET, { backend: cpu(), contextLength: 64 });
});
afterAll(() => target.dispose());

describe('a DFlash head of z-lab', () => {
  const source = (config: object = {}, seed = 1) =>
    headSource({ ...CONFIG, ...config }, tensorsOf(shapesOf(separate), seed));

  it.each([1, 2])('becomes the speculator and comes back, from %i files', async (shards) => {
    const from = headSource(CONFIG, tensorsOf(shapesOf(separate), 1), { shards });
    const { config, algorithm, notes } = await thereAndBack(from, { verifier, target });
    expect({ algorithm, notes }).toEqual({ algorithm: 'dflash', notes: [] });
    expect(config).toMatchObject({
      architectures: ['DFlashSpeculator'],
      block_size: 5,
      mask_token_id: 3,
      draft_vocab_size: V,
      // One more: the stream that enters a layer, not what it gives.
      aux_hidden_state_layer_ids: [1, 4, 6],
      sample_from_anchor: false,
      speculators_config: { proposal_methods: [{ speculative_tokens: 4 }] },
    });
    expect(config['transformer_layer_config']).not.toHaveProperty('dflash_config');
  });

  it('is told by its tensors where its config says nothing, and may say its block inside', async () => {
    const inside = {
      architectures: ['Qwen3Model'],
      block_size: undefined,
      dflash_config: { ...CONFIG.dflash_config, block_size: 4 },
    };
    const { config } = await thereAndBack(source(inside), { verifier, target });
    expect(config).toMatchObject({ block_size: 4 });
    const silent = source({ architectures: ['Qwen3Model'], dflash_config: undefined });
    const told = { aux_hidden_state_layer_ids: [1, 4, 6] };
    await expect(convertSpeculator(silent, { verifier })).rejects.toThrow(
      'dflash_config.target_layer_ids: expected layers of the target, or aux_hidden_state_layer_ids from the caller',
    );
    await expect(convertSpeculator(silent, { verifier, fields: told })).rejects.toThrow(
      'mask_token_id: expected a token below 64',
    );
  });

  it('may have layers of a window', async () => {
    const sliding = {
      layer_types: ['sliding_attention', 'full_attention'],
      sliding_window: 16,
      use_sliding_window: true,
    };
    const { notes } = await thereAndBack(source(sliding), { verifier, target });
    expect(notes).toEqual([]);
  });

  it('has one set of rotary parameters afterwards', async () => {
    const nested = {
      rope_parameters: {
        full_attention: { rope_type: 'default', rope_theta: 500_000 },
        sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
      },
    };
    const { config } = await thereAndBack(source(nested), { verifier, target });
    expect(config).toMatchObject({
      transformer_layer_config: { rope_parameters: { rope_type: 'default', rope_theta: 10_000 } },
    });
  });

  it.each([
    [{ hidden_size: 64 }, 'head: hidden_size: expected a target with 64, got one with 32'],
    [{ vocab_size: 65 }, 'vocab_size: expected a target with 65, got one with 64'],
    [{ num_target_layers: 9 }, 'num_hidden_layers: expected a target with 9, got one with 8'],
    [{ block_size: null }, 'head: block_size: expected the places of a block, got undefined'],
    [
      { dflash_config: { mask_token_id: 3, target_layer_ids: [0, 3, 7] } },
      'dflash_config.target_layer_ids: expected layers before the last, got 7',
    ],
    [
      { dflash_config: { mask_token_id: 3, target_layer_ids: [7, 3, 5] } },
      'head: dflash_config.target_layer_ids: expected the last layer at the end, got 7,3,5',
    ],
    [{ num_hidden_layers: 3 }, 'missing layers.2.input_layernorm.weight [32]'],
  ])('is refused with %o', async (change, message) => {
    await expect(convertSpeculator(source(change), { verifier })).rejects.toThrow(message);
  });

  it.each([
    ['embed_tokens.weight', 'embed_tokens.weight (the layout takes it from the target)'],
    ['layers.0.self_attn.sinks', 'got layers.0.self_attn.sinks'],
  ])('is refused with %s', async (name, message) => {
    const more = headSource(CONFIG, tensorsOf({ ...shapesOf(separate), [name]: [V, C] }, 1));
    await expect(convertSpeculator(more, { verifier })).rejects.toThrow(message);
  });

  it('comes from a speculator that holds copies of what the target has', async () => {
    const made = await convertSpeculator(source(), { verifier });
    const copies = tensorsOf({ 'embed_tokens.weight': [V, C], 'lm_head.weight': [V, C] }, 2);
    const { converted_from: _, ...config } = made.config;
    const back = await exportResearch(
      headSource(config, [...(await wholeTensors(made.tensors)), ...copies]),
    );
    expect(back.dropped.map(([name]) => name)).toEqual(['embed_tokens.weight', 'lm_head.weight']);
    expect(await contentOf(memorySource(await back.files()))).toEqual(await contentOf(source()));
    expect(back.config).toMatchObject({
      block_size: 5,
      dflash_config: { mask_token_id: 3, target_layer_ids: [0, 3, 5] },
    });
  });
});

describe('a DFlash head with one matrix for queries, keys and values', () => {
  const tensors = tensorsOf(shapesOf(fused), 3);

  it('has three afterwards, row by row, and one again on the way back', async () => {
    const made = await thereAndBack(headSource(CONFIG, tensors), { verifier, target });
    expect(made.arranged[0]).toBe(
      'took layers.0.self_attn.qkv_proj.weight apart into q_proj, k_proj and v_proj',
    );
    const whole = tensors.find(({ name }) => name === 'layers.1.self_attn.qkv_proj.weight')!;
    const split = await wholeTensors(made.tensors);
    const numbers = ['q', 'k', 'v'].flatMap((part) => {
      const { data } = split.find(({ name }) => name === `layers.1.self_attn.${part}_proj.weight`)!;
      return [...new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4)];
    });
    expect(numbers).toEqual([...new Float32Array(whole.data.buffer)]);
  });

  it('loses its gates and the columns of a state that is not read, and says so', async () => {
    const config = {
      ...CONFIG,
      dflash_config: { mask_token_id: 3, target_layer_ids: [0, 3, 5, 7] },
    };
    const shapes = { ...shapesOf(gated, { columns: 4 * C }), 'aux_hidden_norms.0.weight': [C] };
    const source = headSource(config, tensorsOf(shapes, 4));
    const made = await convertSpeculator(source, { verifier });
    expect(made.dropped).toEqual([
      ...[0, 1].map((l) => [
        `layers.${l}.self_attn.g_proj.weight`,
        'a gate of attention; the format has none, so the head will agree less',
      ]),
      [
        'aux_hidden_norms.0.weight',
        'a norm of target states; the format has none, so the head will agree less',
      ],
    ]);
    expect(made.arranged[0]).toContain('kept the first 96 of the 128 columns of fc.weight');
    expect((await exportResearch(memorySource(await made.files(), 'made'))).notes).toEqual([
      ...made.dropped.map(([name, why]) => `${name} does not come back; it was left out: ${why}`),
      'fc.weight from column 96 on does not come back; it was left out: the format does not read the state after the last layer',
    ]);
    expect(made.config).toMatchObject({ aux_hidden_state_layer_ids: [1, 4, 6] });
    const before = tensorsOf(shapes, 4)[0].data;
    const [after] = await wholeTensors(made.tensors.filter(({ name }) => name === 'fc.weight'));
    const floats = new Float32Array(after.data.buffer, after.data.byteOffset);
    for (let row = 0; row < C; row++)
      for (let column = 0; column < 3 * C; column++)
        expect(floats[row * 3 * C + column]).toBe(before[row * 4 * C + column]);
  });

  it('is refused with both kinds, and with rows that are not those of its heads', async () => {
    const both = tensorsOf({ 'layers.0.self_attn.k_proj.weight': [16, C] }, 5);
    await expect(
      convertSpeculator(headSource(CONFIG, [...tensors, ...both]), { verifier }),
    ).rejects.toThrow(
      'layers.0.self_attn.qkv_proj.weight: expected it or layers.0.self_attn.k_proj.weight, got both',
    );
    const other = headSource({ ...CONFIG, num_key_value_heads: 1 }, tensors);
    await expect(convertSpeculator(other, { verifier })).rejects.toThrow(
      'layers.0.self_attn.qkv_proj.weight: expected 32 + 8 + 8 rows, got 64',
    );
  });

  it('does not go back with a part of the matrix missing', async () => {
    const { config, tensors: made } = await convertSpeculator(headSource(CONFIG, tensors), {
      verifier,
    });
    const less = made.filter(({ name }) => name !== 'layers.0.self_attn.q_proj.weight');
    await expect(exportResearch(headSource(config, await wholeTensors(less)))).rejects.toThrow(
      'expected layers.0.self_attn.q_proj.weight beside it, got none',
    );
  });
});
