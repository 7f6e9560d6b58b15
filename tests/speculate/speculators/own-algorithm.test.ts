// An algorithm that is not of this package, given by the option `algorithms`: one product over [token + state], small enough to be
// computed by hand. What a program of its own may count on: its fields, its forward on every kind of backend, drafting, and folders.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import type { Backend } from '../../../src/kernels/backend.ts';
import { FormatError, UnsupportedError } from '../../../src/kernels/errors.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { weight } from '../../../src/models/layers.ts';
import { need } from '../../../src/speculate/drafters/head-layer.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { generate } from '../../../src/speculate/generate.ts';
import type { HeadAlgorithm } from '../../../src/speculate/speculators/algorithm.ts';
import { openSpeculatorConfig } from '../../../src/speculate/speculators/config.ts';
import { jsonSchemaOf } from '../../../src/speculate/speculators/json-schema.ts';
import {
  ALGORITHMS,
  Speculator,
  type SpeculatorOptions,
} from '../../../src/speculate/speculators/load.ts';
import type { TensorData } from '../../../src/tensor/safetensors.ts';
import { openFolder } from '../../../src/tensor/source.ts';
import { numbers } from '../../kernels/toy.ts';
import { BACKENDS, loadTiny, tiny } from '../../models/fixtures.ts';
import { spelled } from '../fixtures.ts';
import { readTensors } from './float64.ts';

const [WIDTH, VOCAB, LAYERS] = [32, 64, 8];
const PROMPT = [1, 5, 9, 33, 9, 5];
const MODULE = 'test_module.weight';

const schema = z.looseObject({ test_param: z.int().default(123) });

/** state' = module · (embed[token] + state); logits = head · state'. */
const own: HeadAlgorithm<z.output<typeof schema>> = {
  name: 'test_speculator',
  schema,
  draftVocab: ({ target }) => target.vocab,
  layers: () => 1,
  weights: ({ fields, target }) => [
    weight(MODULE, target.width, target.width),
    // Seen from outside: what the field is.
    ...(fields.test_param === 123 ? [] : [weight('extra.weight', fields.test_param)]),
  ],
  taps: ({ target }) => [target.layers],
  fuse: (ops, { config }, states) => ops.slice(states, 1, 0, config.target.width),
  forward(ops, { weights, lent, rows, states }) {
    const token = ops.gather(lent.embed, rows.tokens); // [T, C]
    const state = ops.linear(ops.gather(ops.add(token, states!), rows.keep), need(weights, MODULE)); // [K, C]
    return { logits: ops.linear(state, lent.head), state };
  },
};
const algorithms = { test_speculator: own as HeadAlgorithm<unknown> };

const configWith = (change: object = {}) => ({
  speculators_model_type: 'test_speculator',
  speculators_version: '0.1.0',
  speculators_config: {
    algorithm: 'test_speculator',
    default_proposal_method: 'greedy',
    proposal_methods: [{ proposal_type: 'greedy', speculative_tokens: 3 }],
    verifier: { name_or_path: null, architectures: ['LlamaForCausalLM'] },
  },
  transformer_layer_config: {
    vocab_size: VOCAB,
    hidden_size: WIDTH,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 4,
  },
  ...change,
});

/** The module with random numbers, and what else a test wants. */
const weightsWith = (...more: readonly TensorData[]): TensorData[] => [
  {
    name: MODULE,
    dtype: 'f32',
    shape: [WIDTH, WIDTH],
    data: numbers(3, WIDTH * WIDTH).map((value) => value / 4),
  },
  ...more,
];
const extra = (length: number): TensorData => ({
  name: 'extra.weight',
  dtype: 'f32',
  shape: [length],
  data: new Float32Array(length),
});

describe.each(BACKENDS)('a head of one product on $name', ({ open }) => {
  let backend: Backend;
  let verifier: Decoder;
  beforeAll(async () => {
    backend = await open();
    verifier = await loadTiny('llama-8l', { backend, contextLength: 64 });
  });
  afterAll(() => {
    verifier.dispose();
    backend.dispose();
  });
  const make = () => Speculator.fromConfig(configWith(), weightsWith(), { verifier, algorithms });

  it('gives f32 rows of the vocabulary and of the width, with the values of loops by hand', async () => {
    using speculator = await make();
    const { taps, fuse, targetIds } = speculator.head!;
    const model = speculator.model!;
    expect({ taps, targetIds }).toEqual({ taps: [LAYERS], targetIds: null });
    const folder = await openFolder(tiny('llama-8l').folder);
    const target = await readTensors(folder);
    await folder.close();
    const row = (name: string, index: number) =>
      target.get(name)!.data.slice(index * WIDTH, (index + 1) * WIDTH);
    const module = weightsWith()[0].data;

    const given = PROMPT.map((_, at) => numbers(at + 20, WIDTH));
    const fused = await fuse(given);
    expect(fused).toEqual(given);
    const cache = model.createCache({ taps: [0] });
    const keep = [0, 2, 5];
    const { logits, hidden } = await model.forward(cache, [
      { sequence: cache.sequence(), tokens: PROMPT, states: fused, keep },
    ]);
    cache.dispose();
    expect([logits.length, hidden.length]).toEqual([keep.length, keep.length]);
    for (const [index, at] of keep.entries()) {
      expect(logits[index]).toBeInstanceOf(Float32Array);
      expect(hidden[index]).toBeInstanceOf(Float32Array);
      expect([logits[index].length, hidden[index].length]).toEqual([VOCAB, WIDTH]);
      const x = row('model.embed_tokens.weight', PROMPT[at]).map((e, i) => e + given[at][i]);
      const dot = (a: ArrayLike<number>, b: readonly number[]) =>
        b.reduce((sum, value, i) => sum + value * a[i], 0);
      const state = x.map((_, o) => dot(module.subarray(o * WIDTH, (o + 1) * WIDTH), x));
      for (const [i, value] of state.entries()) expect(hidden[index][i]).toBeCloseTo(value, 5);
      for (let token = 0; token < VOCAB; token++)
        expect(logits[index][token]).toBeCloseTo(dot(row('lm_head.weight', token), state), 5);
    }
  });

  it('drafts its chain, and leaves the text of the target as it is', async () => {
    using speculator = await make();
    const target = { model: verifier, tokenizer: spelled };
    const options = { maxTokens: 16, ignoreEos: true };
    const plain = await generate(target, PROMPT, { ...options, drafter: none() });
    const drafted = await generate(target, PROMPT, { ...options, ...speculator.proposal() });
    expect(drafted.tokens).toEqual(plain.tokens);
    expect(drafted.stats.draftedTokens).toBeGreaterThan(10);
    expect(drafted.stats.drafting.drafter).toBe('test_speculator');
  });
});

describe('an algorithm of a program', () => {
  let verifier: Decoder;
  let folder: string;
  beforeAll(async () => {
    verifier = await loadTiny('llama-8l', { contextLength: 64 });
    folder = mkdtempSync(join(tmpdir(), 'own-speculator-'));
    using speculator = await make();
    await speculator.savePretrained(folder);
  });
  afterAll(() => {
    verifier.dispose();
    rmSync(folder, { recursive: true });
  });
  const make = (change: object = {}, more: readonly TensorData[] = [], given: object = {}) =>
    Speculator.fromConfig(configWith(change), weightsWith(...more), {
      verifier,
      algorithms,
      ...given,
    });
  const load = (options: Partial<SpeculatorOptions> = {}) =>
    Speculator.fromPretrained(folder, { verifier, algorithms, ...options });
  /** Writes another config.json into the folder for as long as `run` takes. */
  const rewritten = async (change: object, run: () => Promise<void>) => {
    const file = join(folder, 'config.json');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(before), ...change }));
    try {
      await run();
    } finally {
      writeFileSync(file, before);
    }
  };

  it('loads what it saved, again and again, and each as the file is then', async () => {
    using first = await load();
    using second = await load();
    expect(second.config).toEqual(first.config);
    expect(second.config).toMatchObject({
      algorithm: 'test_speculator',
      version: '0.1.0',
      defaultProposal: 'greedy',
      verifier: { nameOrPath: null, architectures: ['LlamaForCausalLM'] },
    });
    expect(await second.files()).toEqual(await first.files());
    await rewritten({ of_mine: [1, 2], speculators_version: null }, async () => {
      using third = await load();
      expect(third.config).toMatchObject({ version: null, raw: { of_mine: [1, 2] } });
      expect(first.config.raw).not.toHaveProperty('of_mine');
    });
    using last = await load();
    expect(last.config).toEqual(first.config);
  });

  it('reads the config of a folder without its algorithm, which only a head needs', async () => {
    const source = await openFolder(folder);
    const config = await openSpeculatorConfig(source);
    await source.close();
    expect(config).toMatchObject({ algorithm: 'test_speculator', raw: configWith() });
    expect(await Speculator.isIn(folder)).toBe(true);
  });

  it('is known to the call that has it, and to no other', async () => {
    const names = Object.keys(ALGORITHMS);
    using known = await load();
    expect(known.config.algorithm).toBe('test_speculator');
    expect(Object.keys(ALGORITHMS)).toEqual(names);
    const unknown = load({ algorithms: {} });
    await expect(unknown).rejects.toThrow(UnsupportedError);
    await expect(unknown).rejects.toThrow(
      `${folder}/config.json: speculators_model_type: expected ${names.join(', ')}, independent, got test_speculator`,
    );
  });

  it.each(['constructor', '__proto__', 'toString'])(
    'is not what every object has: %s',
    async (name) => {
      await expect(make({ speculators_model_type: name })).rejects.toThrow(UnsupportedError);
    },
  );

  it('may take the place of one of the package', async () => {
    using speculator = await make({ speculators_model_type: 'eagle' }, [], {
      algorithms: { eagle: own },
    });
    expect(speculator.head!.taps).toEqual([LAYERS]);
    await expect(make({ speculators_model_type: 'eagle' })).rejects.toThrow(
      'missing fusion_fc.weight',
    );
  });

  it('has the default of a field that is not there, and the value of one that is', async () => {
    using plain = await make();
    expect(plain.config.raw).not.toHaveProperty('test_param');
    using other = await make({ test_param: 7 }, [extra(7)]);
    expect(other.config.raw['test_param']).toBe(7);
    await expect(make({ test_param: 7 })).rejects.toThrow('missing extra.weight [7]');
    await expect(make({ test_param: 7 }, [extra(8)])).rejects.toThrow(
      'extra.weight: expected shape [7]',
    );
    await expect(make({}, [extra(7)])).rejects.toThrow('unused extra.weight');
  });

  it.each([['7'], [1.5], [null], [[123]]])('names a field that is wrong: %j', async (value) => {
    const made = make({ test_param: value });
    await expect(made).rejects.toThrow(FormatError);
    await expect(made).rejects.toThrow(/^config\/config\.json: ✖ .*\n\s*→ at test_param$/);
  });

  it('is described by a JSON Schema with its fields', () => {
    const text = JSON.stringify(jsonSchemaOf(own as HeadAlgorithm<unknown>));
    expect(text).toContain('"const":"test_speculator"');
    expect(text).toContain('"test_param"');
  });

  it.each(['bf16', 'f16', 'f32'] as const)(
    'keeps its matrices as it is told: %s',
    async (dtype) => {
      using speculator = await make({}, [], { dtype });
      const files = await speculator.files();
      expect(new TextDecoder().decode(files['model.safetensors'] as Uint8Array)).toContain(
        `"${MODULE}":{"dtype":"${dtype.toUpperCase()}","shape":[${WIDTH},${WIDTH}]`,
      );
    },
  );

  it('ends with dispose, once and for all, and leaves the target alone', async () => {
    const speculator = await make();
    const drafter = speculator.drafter();
    drafter.dispose?.();
    speculator.dispose();
    speculator.dispose();
    expect(() => speculator.model!.createCache()).toThrow('expected a model, got a disposed one');
    using next = await make();
    const cache = next.model!.createCache();
    expect(cache.freeSlots).toBe(cache.slots);
    cache.dispose();
    verifier.createCache().dispose();
  });
});
