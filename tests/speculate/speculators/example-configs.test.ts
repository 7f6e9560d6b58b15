// A config.json of every algorithm with all the keys that its writers write, of the version that wrote it: each loads as it is and made
// current, and drafts.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WeightSpec } from '../../../src/models/architecture.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { generate } from '../../../src/speculate/generate.ts';
import type { HeadAlgorithm } from '../../../src/speculate/speculators/algorithm.ts';
import {
  readDraftConfig,
  readSpeculatorConfig,
} from '../../../src/speculate/speculators/config.ts';
import { ALGORITHMS, Speculator } from '../../../src/speculate/speculators/load.ts';
import { migrate, migrateSpeculator } from '../../../src/speculate/speculators/migrate.ts';
import { memorySource, openFolder } from '../../../src/tensor/source.ts';
import { spelled } from '../fixtures.ts';
import { everyOther, golden, headSource, TARGET, tensorsOf } from './research.ts';

const PROMPT = [1, 5, 9, 33, 9, 5, 60, 2, 17, 40];
const [C, V] = [32, 64];

/** Keys of every file. */
const common = (algorithm: string, version: string, speculative_tokens: number) => ({
  speculators_model_type: algorithm,
  speculators_version: version,
  speculators_config: {
    algorithm,
    default_proposal_method: 'greedy',
    proposal_methods: [
      { proposal_type: 'greedy', speculative_tokens, verifier_accept_k: 1, accept_tolerance: 0 },
    ],
    verifier: { name_or_path: 'some/target', architectures: ['LlamaForCausalLM'] },
  },
});
const sizes = {
  vocab_size: V,
  hidden_size: C,
  intermediate_size: 48,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 8,
};
/** Layers as training writes them since 0.7, all sliding but the last `full`. */
const trained = (model_type: string, layers: number, full = 0) => ({
  model_type,
  ...sizes,
  num_hidden_layers: layers,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: false,
  sliding_window: 8,
  use_sliding_window: true,
  layer_types: Array.from({ length: layers }, (_, l) =>
    l < layers - full ? 'sliding_attention' : 'full_attention',
  ),
  rope_parameters: { rope_type: 'default', rope_theta: 1_000_000 },
});
const eagle3 = {
  draft_vocab_size: V / 2,
  fc_norm: false,
  target_hidden_size: null,
  eagle_aux_hidden_state_layer_ids: [2, 4, 5],
  dtype: 'bfloat16',
};
const block = {
  draft_vocab_size: V / 2,
  target_hidden_size: null,
  mask_token_id: 3,
  sliding_window_non_causal: false,
  dtype: 'bfloat16',
};

const CONFIGS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  eagle: {
    ...common('eagle', '0.1.0', 5),
    architectures: ['EagleSpeculator', 'LlamaDecoderLayer'],
    transformer_layer_architecture: 'LlamaDecoderLayer',
    transformer_layer_config: {
      model_type: 'llama',
      ...sizes,
      num_hidden_layers: 1,
      max_position_embeddings: 512,
      rms_norm_eps: 1e-5,
      rope_theta: 500_000,
      bos_token_id: 1,
      eos_token_id: 2,
      attention_bias: false,
      mlp_bias: false,
    },
    layernorms: false,
    fusion_bias: true,
    torch_dtype: 'float16',
    transformers_version: '4.55.0',
  },
  mlp: {
    ...common('mlp', '0.1.0', 4),
    architectures: ['MLPSpeculator'],
    torch_dtype: 'bfloat16',
    inputs: ['input_embeddings', 'hidden_states[-1]'],
    inputs_hidden_states_normalized: false,
    hidden_size: C,
    intermediate_size: 24,
    vocab_size: V,
    num_layers: 4,
    tie_weights: true,
  },
  eagle3: {
    ...common('eagle3', '0.7.0', 3),
    ...eagle3,
    architectures: ['Eagle3Speculator'],
    transformer_layer_config: trained('llama', 1),
    norm_before_residual: true,
    norm_before_fc: true,
    norm_output: true,
    embed_requires_grad: false,
    tie_word_embeddings: false,
    transformers_version: '5.14.0',
  },
  peagle: {
    ...common('peagle', '0.7.0', 8),
    ...eagle3,
    architectures: ['PEagleSpeculator'],
    transformer_layer_config: trained('qwen3', 4),
    norm_before_residual: false,
    norm_before_fc: false,
    norm_output: false,
    embed_requires_grad: true,
    mask_token_id: 3,
  },
  dflash: {
    ...common('dflash', '0.7.0', 15),
    ...block,
    architectures: ['DFlashSpeculator'],
    transformer_layer_config: trained('qwen3', 5, 1),
    block_size: 16,
    aux_hidden_state_layer_ids: [1, 2, 4, 5, 7],
    sample_from_anchor: false,
  },
  dspark: {
    ...common('dspark', '0.7.0', 8),
    ...block,
    architectures: ['DSparkSpeculator'],
    transformer_layer_config: trained('qwen3', 3),
    block_size: 8,
    aux_hidden_state_layer_ids: [2, 4, 5],
    sample_from_anchor: true,
    markov_rank: 16,
    markov_head_type: 'vanilla',
    enable_confidence_head: true,
    confidence_head_with_markov: true,
  },
  mtp: {
    ...common('mtp', '0.7.0', 3),
    architectures: ['MTPDraftModel'],
    transformer_layer_config: {
      model_type: 'qwen3_next',
      ...sizes,
      num_hidden_layers: 8,
      partial_rotary_factor: 0.25,
      num_experts: 6,
      num_experts_per_tok: 3,
      moe_intermediate_size: 12,
      shared_expert_intermediate_size: 12,
      rms_norm_eps: 1e-6,
      rope_parameters: {
        rope_type: 'default',
        rope_theta: 10_000_000,
        partial_rotary_factor: 0.25,
      },
    },
    num_nextn_predict_layers: 1,
    dtype: 'bfloat16',
  },
};

/** The weights that a config asks for, with an embedding and a head of its own where it may have them. */
function specsOf(config: object, target: Decoder): readonly WeightSpec[] {
  const read = readSpeculatorConfig(config, 'here');
  const algorithm: HeadAlgorithm<unknown> = ALGORITHMS[read.algorithm];
  const fields = algorithm.schema.parse(config);
  if (algorithm.forward === undefined)
    return algorithm.weights({ fields, target: target.config }, () => true);
  const layer = readDraftConfig(read, 'here');
  return algorithm.weights({ fields, layer, target: target.config }, () => true);
}

describe('the config.json of', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { contextLength: 64 });
  });
  afterAll(() => verifier.dispose());

  async function expectDrafts(speculator: Speculator): Promise<void> {
    const target = { model: verifier, tokenizer: spelled };
    const options = { maxTokens: 12, ignoreEos: true };
    const plain = await generate(target, PROMPT, { ...options, drafter: none() });
    const drafted = await generate(target, PROMPT, { ...options, ...speculator.proposal() });
    expect(drafted.tokens).toEqual(plain.tokens);
    expect(drafted.stats.draftedTokens).toBeGreaterThan(10);
  }

  it.each(Object.keys(CONFIGS))('%s loads, as it is and made current', async (algorithm) => {
    const config = CONFIGS[algorithm];
    const shapes = specsOf(config, verifier).map(({ name, shape }) => [name, shape] as const);
    const vocabulary = 'draft_vocab_size' in config ? everyOther(V) : [];
    const tensors = [...tensorsOf(Object.fromEntries(shapes), 6), ...vocabulary];
    const { config: current, notes } = await migrateSpeculator(headSource(config, tensors));
    expect(migrate(current).changes).toEqual([]);
    expect(notes.filter((note) => !note.startsWith('the current version of the format'))).toEqual(
      [],
    );
    for (const each of [config, current]) {
      const source = headSource(each, tensors);
      using speculator = await Speculator.fromPretrained(source, { verifier });
      expect(speculator.config.raw).toEqual(each);
      expect(speculator.notes).toEqual([]);
      await expectDrafts(speculator);
    }
  });

  it('independent loads, as it is and made current', async () => {
    const folder = await openFolder(golden('tiny-random-qwen3'));
    const model = JSON.parse(await folder.text('config.json'));
    const weights = await folder.read(
      'model.safetensors',
      0,
      await folder.size('model.safetensors'),
    );
    await folder.close();
    const config = { ...model, ...common('independent', '0.1.0', 4), rope_theta: 10_000 };
    for (const each of [config, migrate(config).config]) {
      const files = { 'config.json': JSON.stringify(each), 'model.safetensors': weights };
      using speculator = await Speculator.fromPretrained(memorySource(files), { verifier });
      await expectDrafts(speculator);
    }
  });

  it('heads of version 0.7 and later has windows that the layers have', () => {
    const windowsOf = (name: string) =>
      readDraftConfig(readSpeculatorConfig(CONFIGS[name], 'here'), 'here').windows;
    expect(windowsOf('eagle3')).toEqual([8]);
    expect(windowsOf('peagle')).toEqual([8, 8, 8, 8]);
    expect(windowsOf('dflash')).toEqual([8, 8, 8, 8, 0]);
    expect(windowsOf('dspark')).toEqual([8, 8, 8]);
  });
});
