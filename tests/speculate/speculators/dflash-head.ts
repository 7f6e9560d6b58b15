// Folders of DFlash and DSpark heads with random weights, for the eight-layer random Llama.
import { fileURLToPath } from 'node:url';
import type { Decoder } from '../../../src/models/decoder.ts';
import { writeSafetensors } from '../../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource } from '../../../src/tensor/source.ts';
import { numbers } from '../../kernels/toy.ts';

/** The target's folder. */
export const TARGET = fileURLToPath(new URL('../../golden/tiny-random-llama-8l', import.meta.url));
export const SHAPE = { heads: 4, kvHeads: 2, headDim: 8, eps: 1e-6, theta: 10_000 };
export const [BLOCK, MASK] = [5, 3];
const [WIDTH, FFN, LAYERS] = [32, 48, 2];
export const TAPS = [1, 4, 6];
export const PROMPT = [1, 5, 9, 33, 9, 5, 60, 2, 17];
const RANK = 6;

/** Shapes that DSpark has beside those of DFlash. */
const SPARK: readonly (readonly [string, readonly number[]])[] = [
  ['markov_head.markov_w1.weight', [64, RANK]],
  ['markov_head.markov_w2.weight', [64, RANK]],
  ['confidence_head.proj.weight', [1, WIDTH + RANK]],
  ['confidence_head.proj.bias', [1]],
];
const SPARK_TYPES = {
  vanilla: [],
  gated: [
    ['markov_head.gate_proj.weight', [RANK, WIDTH + RANK]],
    ['markov_head.gate_proj.bias', [RANK]],
  ],
  rnn: [
    ['markov_head.joint_proj.weight', [3 * RANK, 2 * RANK + WIDTH]],
    ['markov_head.joint_proj.bias', [3 * RANK]],
  ],
} as const;
type SparkType = keyof typeof SPARK_TYPES;

/** A DSpark head of a type. */
export const makeSpark = (type: SparkType, change: object = {}, layer: object = {}): FolderSource =>
  makeHead(
    {
      speculators_model_type: 'dspark',
      markov_rank: RANK,
      markov_head_type: type,
      ...change,
    },
    layer,
    [...SPARK, ...SPARK_TYPES[type]],
  );

/** Random numbers for every weight; norms near one. */
export function makeHead(
  change: object = {},
  layer: object = {},
  more: readonly (readonly [string, readonly number[]])[] = [],
): FolderSource {
  const shapes: readonly (readonly [string, readonly number[]])[] = [
    ['embed_tokens.weight', [64, WIDTH]],
    ['lm_head.weight', [64, WIDTH]],
    ['fc.weight', [WIDTH, TAPS.length * WIDTH]],
    ['hidden_norm.weight', [WIDTH]],
    ['norm.weight', [WIDTH]],
    ...Array.from({ length: LAYERS }, (_, l) => {
      const at = (name: string) => `layers.${l}.${name}.weight`;
      return [
        [at('input_layernorm'), [WIDTH]],
        [at('post_attention_layernorm'), [WIDTH]],
        [at('self_attn.q_proj'), [32, WIDTH]],
        [at('self_attn.k_proj'), [16, WIDTH]],
        [at('self_attn.v_proj'), [16, WIDTH]],
        [at('self_attn.o_proj'), [WIDTH, 32]],
        [at('self_attn.q_norm'), [8]],
        [at('self_attn.k_norm'), [8]],
        [at('mlp.gate_proj'), [FFN, WIDTH]],
        [at('mlp.up_proj'), [FFN, WIDTH]],
        [at('mlp.down_proj'), [WIDTH, FFN]],
      ] as const;
    }).flat(),
    ...more,
  ];
  const tensors = shapes.map(([name, shape], seed) => {
    const data = numbers(
      seed + 70,
      shape.reduce((a, b) => a * b, 1),
    );
    const scaled = data.map((value) =>
      shape.length === 1 ? 1 + 0.2 * value : value / Math.sqrt(shape[1] / 3),
    );
    return { name, dtype: 'f32' as const, shape, data: scaled };
  });
  const config = {
    architectures: ['DFlashSpeculator'],
    speculators_model_type: 'dflash',
    speculators_version: '0.7.0',
    speculators_config: {
      algorithm: 'dflash',
      default_proposal_method: 'greedy',
      proposal_methods: [{ proposal_type: 'greedy', speculative_tokens: BLOCK - 1 }],
      verifier: { name_or_path: null, architectures: [] },
    },
    transformer_layer_config: {
      model_type: 'qwen3',
      vocab_size: 64,
      hidden_size: WIDTH,
      intermediate_size: FFN,
      num_hidden_layers: LAYERS,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 8,
      max_position_embeddings: 128,
      ...layer,
    },
    draft_vocab_size: 64,
    block_size: BLOCK,
    aux_hidden_state_layer_ids: TAPS,
    mask_token_id: MASK,
    ...change,
  };
  return memorySource(
    { 'config.json': JSON.stringify(config), 'model.safetensors': writeSafetensors(tensors) },
    'dflash',
  );
}

/** States of a target over a text, at the layers that the heads read. */
export async function statesOf(
  verifier: Decoder,
  text: readonly number[],
): Promise<readonly Float32Array[]> {
  const cache = verifier.createCache({ taps: TAPS });
  const { hidden } = await verifier.forward(cache, [
    { sequence: cache.sequence(), tokens: text, keep: text.map((_, row) => row) },
  ]);
  cache.dispose();
  return hidden;
}
