// DFlash and DSpark against a second implementation in float64: a block whose places see the states before it and each other, and
// steps from place to place.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import type { DraftRequest } from '../../../src/speculate/drafter.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { pointDraw } from '../../../src/speculate/drawn.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { argmax } from '../../../src/speculate/sample.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { writeSafetensors } from '../../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource } from '../../../src/tensor/source.ts';
import { numbers } from '../../kernels/toy.ts';
import { spelled } from '../fixtures.ts';
import { dflashPasses, dsparkChain, fuseNormed, readTensors } from './float64.ts';

const TARGET = fileURLToPath(new URL('../../golden/tiny-random-llama-8l', import.meta.url));
const SHAPE = { heads: 4, kvHeads: 2, headDim: 8, eps: 1e-6, theta: 10_000 };
const [WIDTH, FFN, LAYERS, BLOCK, MASK] = [32, 48, 2, 5, 3];
const TAPS = [1, 4, 6];
const PROMPT = [1, 5, 9, 33, 9, 5, 60, 2, 17];
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
const makeSpark = (type: SparkType, change: object = {}): FolderSource =>
  makeHead(
    {
      speculators_model_type: 'dspark',
      markov_rank: RANK,
      markov_head_type: type,
      ...change,
    },
    {},
    [...SPARK, ...SPARK_TYPES[type]],
  );

/** Random numbers for every weight; norms near one. */
function makeHead(
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

describe('DFlash', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: wasm({ threads: 1 }), contextLength: 96 });
  });
  afterAll(() => verifier.dispose());

  /** States of the target over a text. */
  async function statesOf(text: readonly number[]): Promise<readonly Float32Array[]> {
    const cache = verifier.createCache({ taps: TAPS });
    const { hidden } = await verifier.forward(cache, [
      { sequence: cache.sequence(), tokens: text, keep: text.map((_, row) => row) },
    ]);
    cache.dispose();
    return hidden;
  }

  it.each([false, true])(
    'fills its block as the second implementation does, in a second round too (from the anchor: %s)',
    async (fromAnchor) => {
      const source = makeHead({ sample_from_anchor: fromAnchor });
      using speculator = await Speculator.fromPretrained(source, { verifier });
      const drafter = speculator.drafter();
      const tensors = await readTensors(source);
      const text = [...PROMPT, 40, 12, 7];
      const states = await statesOf(text);
      let seen = 0;
      // A second round has only the states that are new; those before are in the cache.
      for (const length of [PROMPT.length + 1, text.length]) {
        const found: Float32Array[] = [];
        const request: DraftRequest = {
          tokens: text.slice(0, length),
          hidden: states.slice(seen, length - 1),
          maxTokens: 16,
          maxDepth: 16,
          law(row) {
            found.push(row);
            return { point: argmax(row) };
          },
          draw: () => [pointDraw(0)],
        };
        seen = length - 1;
        const draft = await drafter.draft(request);
        const expected = dflashPasses(
          tensors,
          {
            states: states
              .slice(0, length - 1)
              .map((state) => fuseNormed(tensors, [...state], SHAPE)),
            tokens: [text[length - 1], ...Array.from({ length: BLOCK - 1 }, () => MASK)],
            layers: LAYERS,
          },
          SHAPE,
        ).slice(fromAnchor ? 0 : 1);
        expect(draft.tokens).toHaveLength(expected.length);
        for (const [place, { logits }] of expected.entries())
          for (const [token, value] of logits.entries())
            expect(Math.abs(found[place][token] - value)).toBeLessThan(1e-4);
      }
      drafter.dispose?.();
    },
  );

  describe.each(['vanilla', 'gated', 'rnn'] as const)('and DSpark, %s', (type) => {
    it.each([true, false])(
      'takes the steps of the second implementation (from the anchor: %s), and stops where its confidence ends',
      async (fromAnchor) => {
        const source = makeSpark(type, { sample_from_anchor: fromAnchor });
        using speculator = await Speculator.fromPretrained(source, { verifier });
        const tensors = await readTensors(source);
        const text = [...PROMPT, 40];
        const states = await statesOf(text);
        const places = dflashPasses(
          tensors,
          {
            states: states.slice(0, -1).map((state) => fuseNormed(tensors, [...state], SHAPE)),
            tokens: [40, ...Array.from({ length: BLOCK - 1 }, () => MASK)],
            layers: LAYERS,
          },
          SHAPE,
        );
        const silent = fromAnchor ? 0 : 1;
        const expected = dsparkChain(tensors, places, { anchor: 40, type, silent });
        expect(expected).toHaveLength(BLOCK - silent);
        const request = (found: Float32Array[]): DraftRequest => ({
          tokens: text,
          hidden: states.slice(0, -1),
          maxTokens: 16,
          maxDepth: 16,
          law(row) {
            found.push(row);
            return { point: argmax(row) };
          },
          draw: (law) => [pointDraw((law as { point: number }).point)],
        });
        const found: Float32Array[] = [];
        const drafter = speculator.drafter();
        const draft = await drafter.draft(request(found));
        drafter.dispose?.();
        expect(draft.tokens.map(({ token }) => token)).toEqual(expected.map(({ token }) => token));
        for (const [place, { logits }] of expected.entries())
          for (const [token, value] of logits.entries())
            expect(Math.abs(found[place][token] - value)).toBeLessThan(1e-4);

        // Stops before the place at which the product of confidences falls below.
        const products = expected.map((_, place) =>
          expected.slice(0, place + 1).reduce((product, { confidence }) => product * confidence, 1),
        );
        for (const stop of [1, 2, 3]) {
          const least = (products[stop - 1] + products[stop]) / 2;
          const careful = speculator.drafter({ confidence: least });
          expect((await careful.draft(request([]))).tokens).toHaveLength(stop);
          careful.dispose?.();
        }
      },
    );

    it('leaves the text of the target as it is', async () => {
      using speculator = await Speculator.fromPretrained(makeSpark(type), { verifier });
      const target = { model: verifier, tokenizer: spelled };
      const options = { maxTokens: 40, ignoreEos: true, temperature: 0.9, seed: 3 };
      const plain = await generate(target, PROMPT, { ...options, drafter: none() });
      const drafted = await generate(target, PROMPT, { ...options, ...speculator.proposal() });
      expect(drafted.tokens).toEqual(plain.tokens);
      expect(drafted.stats.draftedTokens).toBeGreaterThan(40);
    });
  });

  it('leaves the text of the target as it is, up to the end of its context', async () => {
    using speculator = await Speculator.fromPretrained(makeHead(), { verifier });
    const target = { model: verifier, tokenizer: spelled };
    for (const temperature of [0, 0.9]) {
      const options = { maxTokens: 200, ignoreEos: true, temperature, seed: 2 };
      const plain = await generate(target, PROMPT, { ...options, drafter: none() });
      const drafted = await generate(target, PROMPT, { ...options, ...speculator.proposal() });
      expect(drafted.tokens).toEqual(plain.tokens);
      expect(drafted.tokens).toHaveLength(96 - PROMPT.length);
      expect(drafted.stats.draftedTokens).toBeGreaterThan(40);
    }
  });

  it.each([1, 4, 6, 14])(
    'gives the same block however few rows a run takes: %i',
    async (maxRows) => {
      const text = [...PROMPT, ...PROMPT, 40];
      const small = await loadModel(TARGET, {
        backend: verifier.backend,
        contextLength: 96,
        maxRows,
      });
      const draftOn = async (target: Decoder) => {
        using speculator = await Speculator.fromPretrained(makeHead(), { verifier: target });
        const rows: Float32Array[] = [];
        const drafter = speculator.drafter();
        await drafter.draft({
          tokens: text,
          hidden: (await statesOf(text)).slice(0, -1),
          maxTokens: 16,
          maxDepth: 16,
          law(row) {
            rows.push(row);
            return { point: 0 };
          },
          draw: () => [pointDraw(0)],
        });
        drafter.dispose?.();
        return rows;
      };
      const rows = await draftOn(small);
      expect(rows).toHaveLength(BLOCK - 1);
      expect(rows).toEqual(await draftOn(verifier));
      small.dispose();
    },
  );

  it('says what it needs and what it does not do', async () => {
    const load = (source: FolderSource) => Speculator.fromPretrained(source, { verifier });
    await expect(load(makeHead({ mask_token_id: null }))).rejects.toThrow(
      'dflash: mask_token_id: expected a token below 64, got null',
    );
    await expect(load(makeHead({ aux_hidden_state_layer_ids: null }))).rejects.toThrow(
      /aux_hidden/,
    );
    const sliding = { use_sliding_window: true, sliding_window: 4, max_window_layers: 0 };
    await expect(load(makeHead({}, sliding))).rejects.toThrow('got sliding windows');
  });
});
