// Configs of every version of the format, as one of the current: what was taken for granted is written out, nothing is lost, and
// a second time changes nothing.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import {
  type Json,
  readDraftConfig,
  readSpeculatorConfig,
} from '../../../src/speculate/speculators/config.ts';
import { ALGORITHMS, Speculator } from '../../../src/speculate/speculators/load.ts';
import { migrate, migrateSpeculator } from '../../../src/speculate/speculators/migrate.ts';
import { openCheckpoint } from '../../../src/tensor/safetensors.ts';
import { memorySource, openFolder } from '../../../src/tensor/source.ts';
import { contentOf, golden, headSource, TARGET, tensorsOf } from './research.ts';

const layer: Json = {
  model_type: 'llama',
  vocab_size: 64,
  hidden_size: 32,
  num_hidden_layers: 1,
  rope_theta: 10_000,
  rope_scaling: null,
  rope_parameters: { rope_type: 'default', rope_theta: 10_000 },
};
const configOf = (version: string | undefined, change: object = {}, type = 'eagle3'): Json => ({
  architectures: ['Eagle3Speculator'],
  speculators_model_type: type,
  ...(version !== undefined && { speculators_version: version }),
  speculators_config: {
    algorithm: type,
    default_proposal_method: 'greedy',
    proposal_methods: [
      {
        proposal_type: 'greedy',
        speculative_tokens: 3,
        verifier_accept_k: 1,
        accept_tolerance: 0,
      },
    ],
    verifier: { name_or_path: null, architectures: [] },
  },
  transformer_layer_config: layer,
  tie_word_embeddings: false,
  draft_vocab_size: 40,
  norm_before_residual: true,
  norm_before_fc: false,
  fc_norm: false,
  norm_output: false,
  target_hidden_size: null,
  eagle_aux_hidden_state_layer_ids: null,
  embed_requires_grad: false,
  ...change,
});
const without = (config: Json, ...keys: string[]): Json =>
  Object.fromEntries(Object.entries(config).filter(([key]) => !keys.includes(key)));

/** Migrates twice, and expects the second time to change nothing. */
function current(config: Json) {
  const made = migrate(config);
  const again = migrate(made.config);
  expect(again.changes).toEqual([]);
  expect(JSON.stringify(again.config)).toBe(JSON.stringify(made.config));
  return made;
}

describe('a config of the current version', () => {
  it('stays as it is, unknown keys included', () => {
    const config = configOf('0.8.0', { max_anchors: 256, mine: { a: [1] } });
    expect(current(config)).toEqual({ config, changes: [], notes: [] });
  });
});

describe('a config of an older version', () => {
  it.each([
    ['0.1.0', 'llama'],
    ['0.6.0.1', 'llama'],
    ['0.7.0', 'qwen3'],
    [undefined, 'llama'],
  ])('%s has the class of its layers written out: %s', (version, type) => {
    const { config, changes } = current(
      configOf(version, { transformer_layer_config: without(layer, 'model_type') }),
    );
    expect(config).toMatchObject({
      speculators_version: '0.8.0',
      transformer_layer_config: { model_type: type },
    });
    expect(changes).toContain(`transformer_layer_config.model_type: "${type}" written out`);
  });

  it('of multi-token prediction has the class of Qwen2', () => {
    const own = { ...without(layer, 'model_type'), num_attention_heads: 4, num_key_value_heads: 2 };
    const config = configOf('0.7.0', { transformer_layer_config: own }, 'mtp');
    expect(current(config).config).toMatchObject({
      transformer_layer_config: { model_type: 'qwen2' },
    });
    const read = readDraftConfig(readSpeculatorConfig(config, 'head'), 'head');
    expect(read).toMatchObject({ modelType: 'qwen2', qkvBias: true });
  });

  it('has what its algorithm takes for granted written out, norm_before_residual above all', () => {
    const { config, changes } = current(
      without(
        configOf('0.1.0'),
        ...['norm_before_residual', 'norm_before_fc', 'fc_norm', 'norm_output'],
        ...['draft_vocab_size', 'tie_word_embeddings', 'target_hidden_size', 'architectures'],
        'eagle_aux_hidden_state_layer_ids',
      ),
    );
    expect(config).toEqual(
      configOf('0.8.0', { norm_before_residual: false, draft_vocab_size: 32_000 }),
    );
    expect(changes.toSorted()).toEqual([
      'architectures: ["Eagle3Speculator"] written out',
      'draft_vocab_size: 32000 written out',
      'eagle_aux_hidden_state_layer_ids: null written out',
      'fc_norm: false written out',
      'norm_before_fc: false written out',
      'norm_before_residual: false written out',
      'norm_output: false written out',
      'speculators_version: "0.1.0" becomes "0.8.0"',
      'target_hidden_size: null written out',
      'tie_word_embeddings: false written out',
    ]);
  });

  it('says that vLLM takes another norm_before_residual, and writes the one that is chosen', () => {
    const open = without(configOf('0.8.0'), 'norm_before_residual');
    expect(current(open)).toMatchObject({
      config: { norm_before_residual: false },
      notes: [
        'norm_before_residual: the file does not say; false is written, as speculators reads it, where vLLM took true',
      ],
    });
    const chosen = migrate(open, 'config.json', { norm_before_residual: true });
    expect(chosen).toMatchObject({ config: { norm_before_residual: true }, notes: [] });
    expect(chosen.changes).toEqual(['norm_before_residual: true written out']);
    expect(() => migrate(open, 'config.json', { norm_output: true })).toThrow(
      'fields: expected norm_before_residual of the eagle3 in config.json, got norm_output',
    );
    const other = configOf('0.8.0', {}, 'mtp');
    expect(() => migrate(other, 'old/config.json', { norm_before_residual: true })).toThrow(
      'fields: expected none of the mtp in old/config.json, got norm_before_residual',
    );
  });

  it('has its leftovers removed and its dtype under the new name', () => {
    const old = { auto_map: { '': 'a.B' }, has_no_defaults_at_init: false, torch_dtype: 'float16' };
    const { config, changes } = current(configOf('0.2.0', old));
    expect(config).toEqual(configOf('0.8.0', { dtype: 'float16' }));
    expect(changes).toContain('auto_map: {"":"a.B"} removed');
  });

  it('has its proposal methods written out, and its default among them', () => {
    const methods = {
      algorithm: 'eagle',
      default_proposal_method: 'sampling',
      proposal_methods: [{ proposal_type: 'greedy', mine: 1 }],
      verifier: { name_or_path: 'org/target', architectures: [] },
    };
    const { config, changes } = current(configOf('0.3.0', { speculators_config: methods }));
    expect(config['speculators_config']).toEqual({
      algorithm: 'eagle3',
      default_proposal_method: 'greedy',
      proposal_methods: [
        {
          proposal_type: 'greedy',
          mine: 1,
          speculative_tokens: 5,
          verifier_accept_k: 1,
          accept_tolerance: 0,
        },
      ],
      verifier: { name_or_path: 'org/target', architectures: [] },
    });
    expect(changes).toContain(
      'speculators_config.default_proposal_method: "sampling" becomes "greedy"',
    );
    expect(changes).toContain(
      'speculators_config.proposal_methods.0.speculative_tokens: 5 written out',
    );
  });

  it('keeps trees and says that the format has had none since', () => {
    const base = configOf('0.1.0');
    const trees = {
      ...(base['speculators_config'] as Json),
      default_proposal_method: 'static_tree',
      proposal_methods: [{ proposal_type: 'static_tree', depth: 2 }],
    };
    const { config, notes } = current({ ...base, speculators_config: trees });
    expect(config).toMatchObject({
      speculators_config: { proposal_methods: [{ proposal_type: 'static_tree', depth: 2 }] },
    });
    expect(notes).toEqual([
      'the format has had no static_tree since 0.3; it stays, and is run here',
    ]);
  });

  it.each([
    [
      'dflash',
      { aux_hidden_state_layer_ids: [1], max_anchors: 256 },
      {
        block_size: 8,
        sample_from_anchor: false,
        sliding_window_non_causal: false,
        max_anchors: 256,
      },
    ],
    [
      'dspark',
      { aux_hidden_state_layer_ids: [1] },
      {
        sample_from_anchor: true,
        markov_rank: 256,
        markov_head_type: 'vanilla',
        enable_confidence_head: true,
        confidence_head_with_markov: true,
      },
    ],
    ['peagle', { mask_token_id: 3 }, { norm_before_residual: true, mask_token_id: 3 }],
    ['mtp', {}, { num_nextn_predict_layers: 1 }],
  ])('of type %s has its own defaults', (type, own, expected) => {
    expect(current(configOf('0.6.0', own, type)).config).toMatchObject(expected);
  });

  it('of an algorithm that the format no longer has stays at its version', () => {
    const eagle = without(configOf('0.1.0', { torch_dtype: 'float16' }, 'eagle'), 'norm_output');
    const { config, notes } = current(eagle);
    expect(config).toMatchObject({
      speculators_version: '0.1.0',
      torch_dtype: 'float16',
      layernorms: false,
      fusion_bias: false,
    });
    expect(notes).toEqual(['the current version of the format has no eagle; it stays at 0.1.0']);
  });

  it.each([
    [{ speculators_version: '0.9.0' }, 'speculators_version: expected at most 0.8.0, got 0.9.0'],
    [
      { torch_dtype: 'float16', dtype: 'bfloat16' },
      'expected torch_dtype and dtype that say the same',
    ],
    [{ speculators_config: undefined }, 'speculators_config'],
    [{ norm_before_fc: true, fc_norm: true }, 'expected norm_before_fc or fc_norm, got both'],
    [{ speculators_model_type: 'dflash' }, 'aux_hidden_state_layer_ids'],
  ])('is refused with %o', (change, message) => {
    expect(() => migrate(configOf('0.5.0', change))).toThrow(message);
  });

  it('before 0.6 may have no proposal method, for which its default stands', () => {
    const none = (version: string, named: string) => {
      const base = configOf(version);
      const methods = { proposal_methods: [], default_proposal_method: named };
      return {
        ...base,
        speculators_config: { ...(base['speculators_config'] as Json), ...methods },
      };
    };
    for (const [named, type] of [
      ['greedy', 'greedy'],
      ['sampling', 'sampling'],
      ['beams', 'greedy'],
    ]) {
      const { config } = current(none('0.5.0', named));
      expect(config['speculators_config']).toMatchObject({
        default_proposal_method: type,
        proposal_methods: [{ proposal_type: type, speculative_tokens: 5 }],
      });
      expect((config['speculators_config'] as Json)['proposal_methods']).toHaveLength(1);
    }
    expect(() => migrate(none('0.6.0', 'greedy'))).toThrow(
      'speculators_config.default_proposal_method: expected one of no methods, got greedy',
    );
  });

  it('says that a method is out of reach behind another of its type', () => {
    const base = configOf('0.5.0');
    const twice = [2, 7].map((speculative_tokens) => ({
      proposal_type: 'greedy',
      speculative_tokens,
    }));
    const methods = { ...(base['speculators_config'] as Json), proposal_methods: twice };
    expect(current({ ...base, speculators_config: methods }).notes).toEqual([
      'speculators_config.proposal_methods: of 2 of type greedy the first counts',
    ]);
  });
});

describe('rotary positions', () => {
  const plain = without(layer, 'rope_theta', 'rope_scaling', 'rope_parameters');
  const ropes = (given: object) =>
    current(configOf('0.5.0', { transformer_layer_config: { ...plain, ...given } })).config[
      'transformer_layer_config'
    ];
  const factors = { factor: 8, low_freq_factor: 1, high_freq_factor: 4 };

  it.each<[string, object, object]>([
    [
      'nothing',
      {},
      {
        rope_theta: 10_000,
        rope_scaling: null,
        rope_parameters: { rope_type: 'default', rope_theta: 10_000 },
      },
    ],
    [
      'the old way',
      { rope_theta: 5e5, rope_scaling: { type: 'llama3', ...factors } },
      {
        rope_theta: 5e5,
        rope_scaling: { rope_type: 'llama3', ...factors },
        rope_parameters: { rope_type: 'llama3', rope_theta: 5e5, ...factors },
      },
    ],
    [
      'the new way',
      { rope_parameters: { rope_type: 'linear', rope_theta: 1e6, factor: 2 } },
      {
        rope_theta: 1e6,
        rope_scaling: { rope_type: 'linear', factor: 2 },
        rope_parameters: { rope_type: 'linear', rope_theta: 1e6, factor: 2 },
      },
    ],
    [
      'one set for each kind of layer',
      {
        rope_parameters: {
          full_attention: { rope_type: 'default', rope_theta: 1 },
          sliding_attention: { rope_type: 'default', rope_theta: 2 },
        },
      },
      {
        rope_theta: 2,
        rope_scaling: null,
        rope_parameters: { rope_type: 'default', rope_theta: 2 },
      },
    ],
  ])('from %s are said both ways', (_, given, expected) => {
    expect(ropes(given)).toEqual({ ...plain, ...expected });
  });

  it('stay as they are where a target has one set for each kind of layer', () => {
    const nested = { rope_parameters: { full_attention: { rope_type: 'default', rope_theta: 1 } } };
    const config = configOf('0.6.0', { transformer_layer_config: { ...plain, ...nested } }, 'mtp');
    expect(current(config).config['transformer_layer_config']).toEqual({ ...plain, ...nested });
  });

  it.each([
    [{ rope_theta: 1, rope_parameters: { rope_theta: 2 } }, 'expected one rope_theta, got 1 and 2'],
    [
      {
        rope_scaling: { type: 'linear', factor: 2 },
        rope_parameters: { rope_type: 'linear', factor: 4 },
      },
      'expected rope_scaling and rope_parameters that say the same',
    ],
  ])('that disagree are refused: %o', (given, message) => {
    expect(() => ropes(given)).toThrow(message);
  });
});

describe('any config', () => {
  const parts = {
    ...{ norm_before_residual: true, norm_before_fc: true, norm_output: true, draft_vocab_size: 7 },
    ...{ eagle_aux_hidden_state_layer_ids: [1], mask_token_id: 3, block_size: 4 },
    ...{ sample_from_anchor: true, markov_rank: 2, layernorms: true, fusion_bias: true },
    ...{ torch_dtype: 'float16', auto_map: {}, tie_word_embeddings: false, converted_by: 'x' },
  };
  const inLayer = {
    ...{ model_type: 'llama', vocab_size: 64, hidden_size: 32, num_attention_heads: 4 },
    ...{ head_dim: 8, rope_theta: 5e5, rope_scaling: { type: 'linear', factor: 2 } },
    ...{ max_position_embeddings: 64, sliding_window: 8, attention_bias: true, mine: [1] },
  };
  const someOf = <Whole extends object>(whole: Whole) =>
    fc.subarray(Object.entries(whole)).map((entries): Json => Object.fromEntries(entries));
  const configs = fc.record({
    type: fc.constantFrom('eagle', 'eagle3', 'peagle', 'dflash', 'dspark', 'mtp'),
    version: fc.constantFrom('0.1.0', '0.2.0', '0.6.0.1', '0.7.0', '0.8.0', undefined),
    fields: someOf(parts),
    layer: someOf(inLayer),
    unknown: fc.dictionary(
      fc.string().map((key) => `my ${key}`),
      fc.jsonValue(),
    ),
  });

  it('means the same afterwards, loses no key that is not known, and is current', () => {
    fc.assert(
      fc.property(
        configs,
        ({ type, version, fields, layer: transformer_layer_config, unknown }) => {
          const before: Json = {
            ...unknown,
            speculators_model_type: type,
            ...(version !== undefined && { speculators_version: version }),
            speculators_config: configOf('')['speculators_config'],
            transformer_layer_config,
            ...(type.startsWith('d') && { aux_hidden_state_layer_ids: [1] }),
            ...fields,
          };
          const { config, changes } = current(before);
          expect(config).toMatchObject(unknown);
          expect(changes.length > 0).toBe(JSON.stringify(config) !== JSON.stringify(before));
          const meaning = (each: Json) => {
            const read = readSpeculatorConfig(each, 'config');
            const own = ALGORITHMS[type].schema.parse(each) as Json;
            const known = Object.keys(parts).filter((key) => !/dtype|auto_map|tie/.test(key));
            const layerOf = () => {
              try {
                return without({ ...readDraftConfig(read, 'config') }, 'raw');
              } catch (error) {
                return (error as Error).message;
              }
            };
            return {
              proposals: read.proposals,
              fields: known.map((key) => own[key] ?? null),
              layer: layerOf(),
            };
          };
          expect(meaning(config)).toEqual(meaning(before));
        },
      ),
      { seed: 1, numRuns: 500 },
    );
  });
});

describe('a folder', () => {
  let target: Decoder;
  beforeAll(async () => {
    target = await loadModel(TARGET, { backend: cpu(), contextLength: 64 });
  });
  afterAll(() => target.dispose());

  it.each(['eagle1', 'hass', 'eagle3', 'eagle3-nbr-fullvocab', 'eagle31-fcnorm'])(
    '%s keeps its tensors and means the same',
    async (name) => {
      const source = await openFolder(golden(`heads/${name}`));
      const made = await migrateSpeculator(source);
      const folder = memorySource(await made.files(), 'made');
      expect(await contentOf(folder)).toEqual(await contentOf(source));
      using before = await Speculator.fromPretrained(source, { verifier: target });
      using after = await Speculator.fromPretrained(folder, { verifier: target });
      const meaning = ({ head, model, config }: Speculator) => ({
        ...{ taps: head!.taps, proposals: config.proposals, targetIds: head!.targetIds },
        layer: without({ ...model!.config }, 'raw'),
      });
      expect(meaning(after)).toEqual(meaning(before));
      const raw = JSON.parse(readFileSync(golden(`heads/${name}/config.json`), 'utf8'));
      expect(migrate(raw, name).config).toEqual(made.config);
      await source.close();
    },
  );

  it('loses the copy of the head of the target, which may be of no numbers, by name', async () => {
    const small = { ...layer, intermediate_size: 8, num_attention_heads: 4 };
    const config = configOf('0.6.0', { transformer_layer_config: small }, 'mtp');
    const at = 'mtp_layers.0';
    const vectors = ['token_layernorm', 'hidden_layernorm', 'final_layernorm'];
    const squares = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];
    const own = {
      ...Object.fromEntries(
        [...vectors, 'input_layernorm', 'post_attention_layernorm'].map((name) => [
          `${at}.${name}.weight`,
          [32],
        ]),
      ),
      ...Object.fromEntries(squares.map((name) => [`${at}.self_attn.${name}.weight`, [32, 32]])),
      [`${at}.input_proj.weight`]: [32, 64],
      [`${at}.mlp.gate_proj.weight`]: [8, 32],
      [`${at}.mlp.up_proj.weight`]: [8, 32],
      [`${at}.mlp.down_proj.weight`]: [32, 8],
    };
    const shapes = { ...own, 'verifier_lm_head.weight': [2, 2] };
    const made = await migrateSpeculator(headSource(config, tensorsOf(shapes, 1), { shards: 2 }));
    expect(made.dropped).toEqual([['verifier_lm_head.weight', 'the target has it']]);
    const { tensors } = await openCheckpoint(memorySource(await made.files()));
    expect([...tensors.keys()].toSorted()).toEqual(Object.keys(own).toSorted());
    expect(made.notes).toEqual([]);
  });
});
