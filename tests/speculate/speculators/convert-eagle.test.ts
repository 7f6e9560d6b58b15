// EAGLE heads with what research projects add to them: norms, layers, norms of queries and keys, files in several shards.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { convertSpeculator, exportResearch } from '../../../src/speculate/speculators/convert.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import type { TensorData } from '../../../src/tensor/safetensors.ts';
import { memorySource, openFolder } from '../../../src/tensor/source.ts';
import { draftOf, expectLogits, PROMPT, passesAlong, SHAPE, targetStates } from './eagle-heads.ts';
import { eaglePasses } from './eagle-passes.ts';
import { mathOf, readTensors } from './float64.ts';
import { everyOther, headSource, TARGET, tensorsOf, thereAndBack, verifier } from './research.ts';

const [C, F, V] = [32, 56, 64];
const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: V,
  hidden_size: C,
  intermediate_size: F,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_hidden_layers: 1,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
};

/** Shapes of a decoder layer whose attention reads `inner` columns. */
const layer = (at: string, inner = C, headDim = 8): Record<string, readonly number[]> => ({
  [`${at}.self_attn.q_proj.weight`]: [4 * headDim, inner],
  [`${at}.self_attn.k_proj.weight`]: [2 * headDim, inner],
  [`${at}.self_attn.v_proj.weight`]: [2 * headDim, inner],
  [`${at}.self_attn.o_proj.weight`]: [C, 4 * headDim],
  [`${at}.post_attention_layernorm.weight`]: [C],
  [`${at}.mlp.gate_proj.weight`]: [F, C],
  [`${at}.mlp.up_proj.weight`]: [F, C],
  [`${at}.mlp.down_proj.weight`]: [C, F],
});
const EAGLE = { 'fc.weight': [C, 2 * C], ...layer('layers.0') };
const first = (at: string, headDim = 8) => ({
  [`${at}.input_layernorm.weight`]: [C],
  [`${at}.hidden_norm.weight`]: [C],
  ...layer(at, 2 * C, headDim),
});
const eagle3 = (at: string, states = 3) => ({
  'fc.weight': [C, states * C],
  ...first(at),
  'norm.weight': [C],
  'lm_head.weight': [V / 2, C],
});
const smaller = { ...CONFIG, draft_vocab_size: V / 2 };

let target: Decoder;
beforeAll(async () => {
  target = await loadModel(TARGET, { backend: cpu(), contextLength: 64 });
});
afterAll(() => target.dispose());

describe('EAGLE-1 and HASS with norms', () => {
  it.each(['embed_layernorm.weight', 'post_embedding_layernorm.weight'])(
    'have a place with %s, the norm of the layer, and that before the head',
    async (embedding) => {
      const shapes = {
        ...EAGLE,
        [embedding]: [C],
        'layers.0.input_layernorm.weight': [C],
        'lm_head_layernorm.weight': [C],
      };
      const source = headSource({ ...CONFIG, bias: false }, tensorsOf(shapes, 1));
      const made = await thereAndBack(source, { verifier, target });
      expect(made).toMatchObject({ algorithm: 'eagle', notes: [], config: { layernorms: true } });
      expect(made.renamed).toContainEqual([embedding, 'embedding_layernorm.weight']);
    },
  );

  const ELSEWHERE =
    'hidden_layernorm: a norm of the state before fc, under a key and a name that only foretoken reads; elsewhere the head does not load, or drafts worse';

  it.each([
    { norms: ['embed_layernorm', 'hidden_layernorm', 'lm_head_layernorm'], layernorms: true },
    { norms: ['hidden_layernorm'], layernorms: false },
  ])(
    'norm the state before it is fused, as HASS does, with $norms',
    async ({ norms, layernorms }) => {
      const shapes = {
        ...EAGLE,
        'fc.bias': [C],
        ...Object.fromEntries(norms.map((name) => [`${name}.weight`, [C]])),
      };
      const source = headSource({ ...CONFIG, bias: true }, tensorsOf(shapes, 7));
      const made = await thereAndBack(source, { verifier, target });
      expect(made).toMatchObject({
        notes: [ELSEWHERE],
        config: { layernorms, fusion_bias: true, hidden_layernorm: true },
      });
      const head = memorySource(await made.files(), 'made');
      const whole = await openFolder(TARGET);
      const tensors = new Map([...(await readTensors(whole)), ...(await readTensors(head))]);
      await whole.close();
      using speculator = await Speculator.fromPretrained(head, { verifier: target });
      const hidden = await targetStates(target, speculator.head!, PROMPT);
      const text = [...PROMPT, 20];
      const { norm } = mathOf(tensors, SHAPE);
      const pairs = hidden.map((state, i) => ({
        token: text[i + 1],
        state: norm([...state], 'model.norm.weight'),
      }));
      const { laws } = await draftOf(speculator, text, hidden, { branching: [2, 1, 1] });
      expect(laws.length).toBeGreaterThan(3);
      for (const { path, logits } of laws) {
        const passed = passesAlong(pairs, path, (all) => eaglePasses(tensors, all, SHAPE));
        expectLogits(logits, passed.logits, null);
      }
    },
  );

  it('have a norm of the state or of what is fused, not both', async () => {
    const both = { 'hidden_layernorm.weight': [C], 'layers.0.input_layernorm.weight': [C] };
    const rest = { 'embed_layernorm.weight': [C], 'lm_head_layernorm.weight': [C] };
    const source = headSource(CONFIG, tensorsOf({ ...EAGLE, ...both, ...rest }, 7));
    await expect(convertSpeculator(source, { verifier })).rejects.toThrow(
      'unused transformer.input_layernorm.weight',
    );
  });

  it.each([
    ['embed_layernorm.weight', 'missing transformer.input_layernorm.weight'],
    ['layers.1.mlp.up_proj.weight', 'got layers.1.mlp.up_proj.weight'],
  ])('are refused by name with %s alone', async (name, message) => {
    const source = headSource(CONFIG, tensorsOf({ ...EAGLE, [name]: [C] }, 2));
    await expect(convertSpeculator(source, { verifier })).rejects.toThrow(message);
  });

  const copies = tensorsOf({ 'embed_tokens.weight': [V, C], 'lm_head.weight': [V, C] }, 9);
  const named = (change: Readonly<Record<string, string>>) =>
    copies.map((tensor) => ({ ...tensor, name: change[tensor.name] ?? tensor.name }));
  const withCopies = (given: readonly TensorData[]) =>
    headSource(CONFIG, [...tensorsOf(EAGLE, 4), ...given]);
  const at = 'model.embed_tokens.weight';
  const of = (tensors: readonly TensorData[]) => ({
    ...verifier,
    source: headSource(verifier.config, tensors, { name: 'target' }),
  });

  it('leave embedding and head to the target, after a look at its own', async () => {
    const made = await convertSpeculator(withCopies(copies), {
      verifier: of(named({ 'embed_tokens.weight': at })),
    });
    expect(made.dropped).toEqual(
      ['embed_tokens.weight', 'lm_head.weight'].map((name) => [name, 'the target has it']),
    );
    const back = await exportResearch(memorySource(await made.files(), 'made'), {
      embedding: copies[0],
    });
    expect(back.notes).toEqual([
      'lm_head.weight does not come back; it was left out: the target has it',
    ]);
    const half = named({ 'embed_tokens.weight': at }).map((tensor) => ({
      ...tensor,
      dtype: 'f16' as const,
      data: new Uint16Array(V * C),
    }));
    const not = await convertSpeculator(withCopies(copies), { verifier: of(half) });
    const why = 'the format takes it from the target; the two were not compared';
    expect(not.dropped.map(([, each]) => each)).toEqual([why, why]);
    const index = JSON.stringify({ weight_map: { [at]: 'model-1-of-1.safetensors' } });
    const some = memorySource({ 'model.safetensors.index.json': index });
    const none = await convertSpeculator(withCopies(copies), {
      verifier: { ...verifier, source: some },
    });
    expect(none.dropped.map(([, each]) => each)).toEqual([why, why]);
  });

  it.each([
    ['embed_tokens.weight', at],
    ['lm_head.weight', 'lm_head.weight'],
  ])('are refused where their %s is another', async (name, original) => {
    const others = named({ 'embed_tokens.weight': at }).map((tensor) => {
      const data = Float32Array.from(tensor.data);
      if (tensor.name === original) data[V * C - 1] += 1;
      return { ...tensor, data };
    });
    await expect(convertSpeculator(withCopies(copies), { verifier: of(others) })).rejects.toThrow(
      `head: ${name}: expected a copy of ${original}, which the format takes`,
    );
  });

  it('are refused where their head is tied in the target and another', async () => {
    const target = of(named({ 'embed_tokens.weight': at }).slice(0, 1));
    await expect(convertSpeculator(withCopies(copies), { verifier: target })).rejects.toThrow(
      `head: lm_head.weight: expected a copy of ${at}`,
    );
  });

  it('are refused with a head for fewer tokens, which the format has no place for', async () => {
    const pruned = tensorsOf({ 'lm_head.weight': [V / 2, C] }, 9);
    await expect(convertSpeculator(withCopies(pruned), { verifier })).rejects.toThrow(
      "head: lm_head.weight: expected the target's [64,32], got [32,32]",
    );
  });

  it('are refused with two norms for one place', async () => {
    const both = { 'embed_layernorm.weight': [C], 'post_embedding_layernorm.weight': [C] };
    const source = headSource(CONFIG, tensorsOf({ ...EAGLE, ...both }, 3));
    await expect(convertSpeculator(source, { verifier })).rejects.toThrow(
      'head: expected one tensor for embedding_layernorm.weight, got embed_layernorm.weight and post_embedding_layernorm.weight',
    );
  });

  it('are refused without a tensor, or with one of another shape', async () => {
    const { 'fc.weight': _, ...rest } = EAGLE;
    const without = headSource(CONFIG, tensorsOf(rest, 4));
    await expect(convertSpeculator(without, { verifier, algorithm: 'eagle' })).rejects.toThrow(
      'missing fusion_fc.weight [32, 64]',
    );
    const narrow = headSource(CONFIG, tensorsOf({ ...EAGLE, 'fc.weight': [C, C] }, 4));
    await expect(convertSpeculator(narrow, { verifier })).rejects.toThrow(
      'fusion_fc.weight: expected shape [32, 64], got [32, 32]',
    );
  });
});

describe('EAGLE-3', () => {
  const made = (shapes: Record<string, readonly number[]>, config: object, shards = 1) =>
    headSource(config, [...tensorsOf(shapes, 5), ...everyOther(V)], { shards });

  it('comes from several files', async () => {
    const source = made(eagle3('midlayer'), smaller, 3);
    const { notes, renamed } = await thereAndBack(source, { verifier, target });
    expect(notes).toEqual([]);
    expect(renamed).toContainEqual(['midlayer.hidden_norm.weight', 'layers.0.hidden_norm.weight']);
  });

  it('may have several layers, and the names of the format', async () => {
    const shapes = {
      ...eagle3('layers.0'),
      ...layer('layers.1'),
      'layers.1.input_layernorm.weight': [C],
    };
    const source = made(shapes, { ...smaller, num_hidden_layers: 2 });
    const { renamed } = await thereAndBack(source, { verifier, target });
    expect(renamed).toEqual([]);
  });

  it('with norms of queries and keys has the layers of Qwen3, with the width of their heads', async () => {
    const shapes = {
      ...eagle3('midlayer'),
      ...first('midlayer', 16),
      'midlayer.self_attn.q_norm.weight': [16],
      'midlayer.self_attn.k_norm.weight': [16],
    };
    const { config } = await thereAndBack(made(shapes, smaller), { verifier, target });
    expect(config).toMatchObject({
      transformer_layer_config: { model_type: 'qwen3', head_dim: 16 },
    });
  });

  it('keeps norms before the fusion, and says so in its config', async () => {
    const joint = { ...eagle3('midlayer'), 'input_norm.weight': [3 * C] };
    const one = await thereAndBack(made(joint, smaller), { verifier, target });
    expect(one.config).toMatchObject({ norm_before_fc: true, fc_norm: false });
    const each = Object.fromEntries([0, 1, 2].map((j) => [`fc_norm.${j}.weight`, [C]]));
    const config = { ...smaller, norm_output: true, norm_before_residual: true };
    const two = await thereAndBack(made({ ...eagle3('midlayer'), ...each }, config), {
      verifier,
      target,
    });
    expect(two.config).toMatchObject({
      norm_before_fc: false,
      fc_norm: true,
      norm_output: true,
      norm_before_residual: true,
    });
    const both = made({ ...eagle3('midlayer'), ...each, 'input_norm.weight': [3 * C] }, smaller);
    await expect(convertSpeculator(both, { verifier })).rejects.toThrow('got both');
  });

  it('reads other layers than three where the file or the caller says which', async () => {
    const key = 'eagle_aux_hidden_state_layer_ids';
    const two = (config: object) => made(eagle3('midlayer', 2), { ...smaller, ...config });
    await thereAndBack(two({ [key]: [1, 5] }), { verifier, target });
    const nested = await thereAndBack(two({ eagle_config: { [key]: [1, 5] } }), {
      verifier,
      target,
    });
    expect(nested.config).toMatchObject({ [key]: [1, 5] });
    const told = await convertSpeculator(two({}), { verifier, fields: { [key]: [2, 6] } });
    expect(told.config).toMatchObject({ [key]: [2, 6] });
    await expect(convertSpeculator(two({}), { verifier })).rejects.toThrow(
      'fc.weight: expected shape [32, 96], got [32, 64]',
    );
  });

  it('with a mask is a P-EAGLE head', async () => {
    const shapes = { ...eagle3('midlayer'), mask_hidden: [1, 1, 3 * C] };
    const named = await thereAndBack(made(shapes, { ...smaller, mask_token_id: 3 }), {
      verifier,
      target,
    });
    expect(named).toMatchObject({ algorithm: 'peagle', config: { mask_token_id: 3 } });
    const other = await thereAndBack(made(shapes, { ...smaller, pard_token: 4 }), {
      verifier,
      target,
    });
    expect(other.config).toMatchObject({ mask_token_id: 4 });
    await expect(convertSpeculator(made(shapes, smaller), { verifier })).rejects.toThrow(
      'mask_token_id: expected a token below 64',
    );
  });

  it('says which type most of its numbers have, and whether its embedding is trained', async () => {
    const shapes = eagle3('midlayer');
    const halved = tensorsOf(shapes, 5).map((tensor) =>
      tensor.shape.length === 1
        ? tensor
        : { ...tensor, dtype: 'BF16' as const, data: new Uint16Array(tensor.data.length) },
    );
    const { config } = await thereAndBack(
      headSource({ ...smaller, torch_dtype: 'float16' }, [...halved, ...everyOther(V)]),
      { verifier, target },
    );
    expect(config).toMatchObject({ dtype: 'bfloat16', embed_requires_grad: false });
    const parallel = made({ ...shapes, mask_hidden: [1, 1, 3 * C] }, { ...smaller, pard_token: 4 });
    const { config: other } = await thereAndBack(parallel, { verifier, target });
    expect(other).toMatchObject({ dtype: 'float32', embed_requires_grad: true });
    // Of version 0.1, which EAGLE-1 stays at, with the key of its time.
    const first = headSource(CONFIG, tensorsOf(EAGLE, 1));
    const { config: old } = await thereAndBack(first, { verifier, target });
    expect(old).toMatchObject({ torch_dtype: 'float32' });
    expect(old).not.toHaveProperty('dtype');
  });

  it('is refused with absolute ids where offsets belong', async () => {
    const [d2t, t2d] = everyOther(V);
    const ids = BigInt64Array.from({ length: V / 2 }, (_, token) => BigInt(2 * token));
    const tensors: TensorData[] = [
      ...tensorsOf(eagle3('midlayer'), 6),
      { ...d2t, data: new Uint8Array(ids.buffer) },
      t2d,
    ];
    await expect(convertSpeculator(headSource(smaller, tensors), { verifier })).rejects.toThrow(
      'got their ids themselves',
    );
  });

  it.each(['midlayer.self_attn.sinks', 'layers.1.hidden.weight', 'foo'])(
    'is refused with %s, which its layers do not have',
    async (name) => {
      const source = made({ ...eagle3('midlayer'), [name]: [1] }, smaller);
      await expect(convertSpeculator(source, { verifier })).rejects.toThrow(
        `head: expected tensors that the format has a place for, got ${name}`,
      );
    },
  );

  it('takes only what its layout leaves open', async () => {
    const source = made(eagle3('midlayer'), smaller);
    await expect(
      convertSpeculator(source, { verifier, fields: { mask_token_id: 3 } }),
    ).rejects.toThrow(
      'fields: expected norm_before_residual, eagle_aux_hidden_state_layer_ids of the layout eagle3 of head, got mask_token_id',
    );
    await expect(convertSpeculator(source)).rejects.toThrow(
      'verifier: expected the target of head, got none',
    );
    await expect(convertSpeculator(source, { verifier, algorithm: 'hydra' })).rejects.toThrow(
      'algorithm: expected one of peagle, eagle3, ',
    );
  });
});

describe('the way back', () => {
  const tensors = [...tensorsOf(eagle3('layers.0'), 8), ...everyOther(V)];
  const back = async (change: object, { more = [] as TensorData[] } = {}) => {
    const { config } = await convertSpeculator(
      headSource(smaller, [...tensorsOf(eagle3('midlayer'), 8), ...everyOther(V)]),
      { verifier },
    );
    return exportResearch(headSource({ ...config, ...change }, [...tensors, ...more]));
  };

  it('follows what has changed in the config since', async () => {
    const { config } = await back({ norm_output: true });
    expect(config).toEqual({ ...smaller, norm_output: true });
    const { config: known } = await back({ norm_output: true, converted_from: undefined });
    expect(known).toMatchObject({ norm_output: true, draft_vocab_size: V / 2, hidden_size: C });
  });

  it('is refused for what is no speculator with a layout', async () => {
    await expect(back({ converted_from: { layout: 'hydra' } })).rejects.toThrow(
      'head/config.json: expected a speculator of peagle, eagle3, ',
    );
    await expect(back({ converted_from: { names: [] } })).rejects.toThrow('converted_from');
    await expect(back({ speculators_model_type: 'dspark' })).rejects.toThrow(
      'got one of dspark from eagle3',
    );
    await expect(
      back({ speculators_model_type: 'dflash', converted_from: undefined }),
    ).rejects.toThrow('aux_hidden_state_layer_ids');
    await expect(back({ transformer_layer_config: undefined })).rejects.toThrow(
      'transformer_layer_config: expected the configuration of the decoder layers, got none',
    );
  });

  it('is refused with a tensor that is not of the layout', async () => {
    await expect(back({}, { more: tensorsOf({ mask_hidden: [1] }, 1) })).rejects.toThrow(
      'head: expected tensors that the format has a place for, got mask_hidden',
    );
  });
});

describe('a layout', () => {
  it.each([
    [
      { d2t: [V], 'norm.weight': [C], 'foo.weight': [C] },
      'closest is eagle3, which has a place for d2t, norm.weight, none for foo.weight',
    ],
    [
      { 'markov_head.markov_w1.weight': [V, 4] },
      'got a DSpark head, whose research layout is not converted',
    ],
    [{ 'model.layers.0.mlp.up_proj.weight': [F, C] }, 'got a causal language model'],
    [{ 'model.mtp_layers.0.input_proj.weight': [C, 2 * C] }, "got MiMo's multi-token prediction"],
    [{ 'foo.weight': [C] }, 'got foo.weight'],
  ])('that is not known is refused with what comes closest: %o', async (shapes, message) => {
    const source = headSource(CONFIG, tensorsOf(shapes, 7));
    await expect(convertSpeculator(source, { verifier })).rejects.toThrow(message);
  });
});
