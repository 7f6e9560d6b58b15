// Multi-token prediction against a second implementation in float64: a chain that feeds its own states.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { argmax } from '../../../src/speculate/sample.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { writeSafetensors } from '../../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource, openFolder } from '../../../src/tensor/source.ts';
import { numbers } from '../../kernels/toy.ts';
import { spelled } from '../fixtures.ts';
import { mtpPasses, readTensors } from './float64.ts';

const TARGET = fileURLToPath(new URL('../../golden/tiny-random-llama-8l', import.meta.url));
const SHAPE = { heads: 4, kvHeads: 2, headDim: 8, eps: 1e-5, theta: 10_000 };
const WIDTH = 32;
const PROMPT = [1, 5, 9, 33, 9, 5, 60, 2, 17];

type Shapes = readonly (readonly [string, readonly number[]])[];

/** Random numbers for every weight; norms near one. */
async function makeHead(
  change: object = {},
  layerChange: object = {},
  more: Shapes = [],
): Promise<FolderSource> {
  const target = await openFolder(TARGET);
  const layer = JSON.parse(await target.text('config.json'));
  await target.close();
  const at = (name: string) => `mtp_layers.0.${name}.weight`;
  const shapes: Shapes = [
    [at('input_proj'), [WIDTH, 2 * WIDTH]],
    ...[
      'token_layernorm',
      'hidden_layernorm',
      'input_layernorm',
      'final_layernorm',
      'post_attention_layernorm',
    ].map((name) => [at(name), [WIDTH]] as const),
    [at('self_attn.q_proj'), [32, WIDTH]],
    [at('self_attn.k_proj'), [16, WIDTH]],
    [at('self_attn.v_proj'), [16, WIDTH]],
    [at('self_attn.o_proj'), [WIDTH, 32]],
    [at('mlp.gate_proj'), [56, WIDTH]],
    [at('mlp.up_proj'), [56, WIDTH]],
    [at('mlp.down_proj'), [WIDTH, 56]],
    ...more,
  ];
  const tensors = shapes.map(([name, shape], seed) => {
    const data = numbers(
      seed + 40,
      shape.reduce((a, b) => a * b, 1),
    );
    const norm = shape.length === 1;
    return {
      name,
      dtype: 'f32' as const,
      shape,
      data: data.map((value) => (norm ? 1 + 0.2 * value : value / Math.sqrt(shape[1] / 3))),
    };
  });
  const config = {
    architectures: ['MTPDraftModel'],
    speculators_model_type: 'mtp',
    speculators_version: '0.7.0',
    speculators_config: {
      algorithm: 'mtp',
      default_proposal_method: 'greedy',
      proposal_methods: [{ proposal_type: 'greedy', speculative_tokens: 3 }],
      verifier: { name_or_path: null, architectures: [] },
    },
    transformer_layer_config: { ...layer, intermediate_size: 56, ...layerChange },
    num_nextn_predict_layers: 1,
    ...change,
  };
  return memorySource(
    { 'config.json': JSON.stringify(config), 'model.safetensors': writeSafetensors(tensors) },
    'mtp',
  );
}

describe('multi-token prediction', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: wasm({ threads: 1 }), contextLength: 96 });
  });
  afterAll(() => verifier.dispose());

  it.each([
    { type: 'llama', own: {}, more: [] },
    // Without a name of its class.
    {
      type: 'qwen2',
      own: { model_type: undefined },
      more: [
        ['mtp_layers.0.self_attn.q_proj.bias', [32]],
        ['mtp_layers.0.self_attn.k_proj.bias', [16]],
        ['mtp_layers.0.self_attn.v_proj.bias', [16]],
      ] as Shapes,
    },
  ])(
    'gives the logits and states of the second implementation, step by step, as a layer of $type',
    async ({ type, own, more }) => {
      const source = await makeHead({}, own, more);
      using speculator = await Speculator.fromPretrained(source, { verifier });
      const head = speculator.head!;
      expect(head.model!.config.modelType).toBe(type);
      const cache = verifier.createCache({ taps: head.taps });
      const { hidden, logits } = await verifier.forward(cache, [
        { sequence: cache.sequence(), tokens: PROMPT, keep: PROMPT.map((_, row) => row) },
      ]);
      cache.dispose();
      const text = [...PROMPT, argmax(logits.at(-1)!)];
      const target = await openFolder(TARGET);
      const tensors = new Map([...(await readTensors(target)), ...(await readTensors(source))]);
      await target.close();
      const names = { embed: 'model.embed_tokens.weight', head: 'lm_head.weight' };

      const heads = head.model!.createCache({ taps: [0] });
      const sequence = heads.sequence();
      const pairs = hidden.map((state, i) => ({ token: text[i + 1], state: [...state] }));
      let found = await head.model!.forward(heads, [
        { sequence, tokens: text.slice(1), states: await head.fuse(hidden) },
      ]);
      for (let step = 0; step < 4; step++) {
        const expected = mtpPasses(tensors, pairs, SHAPE, names).at(-1)!;
        for (const [i, value] of expected.logits.entries())
          expect(Math.abs(found.logits[0][i] - value)).toBeLessThan(1e-4);
        for (const [i, value] of expected.state.entries())
          expect(Math.abs(found.hidden[0][i] - value)).toBeLessThan(1e-4);
        const token = argmax(found.logits[0]);
        pairs.push({ token, state: [...expected.state] });
        found = await head.model!.forward(heads, [
          { sequence, tokens: [token], states: [found.hidden[0]] },
        ]);
      }
      heads.dispose();
    },
  );

  it('leaves the text of the target as it is', async () => {
    using speculator = await Speculator.fromPretrained(await makeHead(), { verifier });
    const target = { model: verifier, tokenizer: spelled };
    for (const temperature of [0, 0.9]) {
      const options = { maxTokens: 24, ignoreEos: true, temperature, seed: 2 };
      const plain = await generate(target, PROMPT, { ...options, drafter: none() });
      const drafted = await generate(target, PROMPT, { ...options, ...speculator.proposal() });
      expect(drafted.tokens).toEqual(plain.tokens);
      expect(drafted.stats.draftedTokens).toBeGreaterThan(20);
    }
  });

  it('has a layer of full attention where the model mixes kinds, and is refused where it has none', async () => {
    const qwen3 = (types: readonly string[]) =>
      makeHead(
        {},
        {
          model_type: 'qwen3',
          head_dim: 8,
          num_hidden_layers: types.length,
          use_sliding_window: true,
          sliding_window: 2,
          layer_types: types,
        },
        [
          ['mtp_layers.0.self_attn.q_norm.weight', [8]],
          ['mtp_layers.0.self_attn.k_norm.weight', [8]],
        ],
      );
    const logitsOf = async (source: FolderSource) => {
      using speculator = await Speculator.fromPretrained(source, { verifier });
      const model = speculator.model!;
      const cache = model.createCache();
      const states = PROMPT.map((token) =>
        Float32Array.from({ length: WIDTH }, (_, i) => Math.sin(i * token)),
      );
      const { logits } = await model.forward(cache, [
        { sequence: cache.sequence(), tokens: PROMPT, states },
      ]);
      cache.dispose();
      return logits;
    };
    expect(await logitsOf(await qwen3(['sliding_attention', 'full_attention']))).toEqual(
      await logitsOf(await qwen3(['full_attention', 'full_attention'])),
    );
    await expect(logitsOf(await qwen3(['sliding_attention']))).rejects.toThrow(
      'mtp: expected a model with a layer of full attention, which its own is, got windows of 2',
    );
  });

  it('needs its target as long as it lives', async () => {
    const own = await loadModel(TARGET, { backend: verifier.backend, contextLength: 64 });
    using speculator = await Speculator.fromPretrained(await makeHead(), { verifier: own });
    const model = speculator.model!;
    const cache = model.createCache();
    own.dispose();
    const states = [new Float32Array(WIDTH)];
    const forward = model.forward(cache, [{ sequence: cache.sequence(), tokens: [1], states }]);
    await expect(forward).rejects.toThrow(
      'forward: expected the model whose weights it uses, got a disposed one',
    );
    cache.dispose();
    const late = Speculator.fromPretrained(await makeHead(), { verifier: own });
    await expect(late).rejects.toThrow(
      'fromPretrained: expected a model as verifier, got a disposed one',
    );
  });

  it('has one layer, and layers of kinds that run here', async () => {
    const two = await makeHead({ num_nextn_predict_layers: 2 });
    await expect(Speculator.fromPretrained(two, { verifier })).rejects.toThrow(/num_nextn_predict/);
    const other = await makeHead({ transformer_layer_config: { model_type: 'qwen3_moe' } });
    await expect(Speculator.fromPretrained(other, { verifier })).rejects.toThrow(
      'expected llama, mistral, qwen2, qwen3, qwen3_next, qwen3_5_text, qwen3_5_moe_text, deepseek_v3 or glm4_moe, got "qwen3_moe"',
    );
  });
});
