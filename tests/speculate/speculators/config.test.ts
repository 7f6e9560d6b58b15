// The format on disk: what is read, what is filled in, what is refused, and how a proposal method becomes options of `generate`.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FormatError, OptionError } from '../../../src/kernels/errors.ts';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { generate } from '../../../src/speculate/generate.ts';
import {
  readDraftConfig,
  readSpeculatorConfig,
} from '../../../src/speculate/speculators/config.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { exportVllm } from '../../../src/speculate/speculators/vllm.ts';
import { openCheckpoint, type TensorData } from '../../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource } from '../../../src/tensor/source.ts';
import { spelled } from '../fixtures.ts';

const golden = (path: string) => fileURLToPath(new URL(`../../golden/${path}`, import.meta.url));
const bytes = (name: string) =>
  new Uint8Array(readFileSync(golden(`heads/${name}/model.safetensors`)));
type Json = Record<string, unknown>;
const configOf = (name: string): Json =>
  JSON.parse(readFileSync(golden(`heads/${name}/config.json`), 'utf8'));

let verifier: Decoder;
beforeAll(async () => {
  verifier = await loadModel(golden('tiny-random-llama-8l'), {
    backend: wasm({ threads: 1 }),
    contextLength: 96,
  });
});
afterAll(() => verifier.dispose());

/** Loads a head with a config of its own. */
const loadWith = (name: string, config: Json, weights = bytes(name)) =>
  Speculator.fromPretrained(
    memorySource({ 'config.json': JSON.stringify(config), 'model.safetensors': weights }, name),
    { verifier },
  );

/** The config with other proposal methods; the first is the default. */
function withMethods(methods: readonly Json[]): Json {
  const config = configOf('eagle3');
  const common = config['speculators_config'] as Json;
  return {
    ...config,
    speculators_config: {
      ...common,
      proposal_methods: methods,
      default_proposal_method: methods[0]['proposal_type'],
    },
  };
}

describe('config.json of a speculator', () => {
  it('keeps what it does not know, and fills in what methods leave out', () => {
    const json = { ...withMethods([{ proposal_type: 'dynamic_tree' }]), of_mine: 7 };
    const config = readSpeculatorConfig(json, 'here');
    expect(config.raw['of_mine']).toBe(7);
    expect(config).toMatchObject({ algorithm: 'eagle3', version: '0.8.0' });
    expect(config.defaultProposal).toBe('dynamic_tree');
    expect(config.proposals).toEqual([
      { proposal_type: 'dynamic_tree', speculative_tokens: 48, expansion_factor: 10, depth: 6 },
    ]);
  });

  it('takes the layers for a difference to the defaults of their class, which depends on the version', () => {
    const of = (version: string, layers: Json) => {
      const json = {
        ...configOf('eagle3'),
        speculators_version: version,
        transformer_layer_config: layers,
      };
      return readDraftConfig(readSpeculatorConfig(json, 'here'), 'here');
    };
    expect(of('0.6.1', { hidden_size: 64 })).toMatchObject({
      modelType: 'llama',
      vocab: 32_000,
      width: 64,
      heads: 32,
      headDim: 2,
      ffnWidth: 11_008,
    });
    expect(of('0.7.0', {})).toMatchObject({
      modelType: 'qwen3',
      headDim: 128,
      kvHeads: 32,
      qkNorm: true,
    });
    expect(() => of('0.8.0', { model_type: 'mamba' })).toThrow(
      'here: transformer_layer_config.model_type: expected llama, mistral, qwen2 or qwen3, got "mamba"',
    );
  });

  it('takes of two sets of rotary parameters that of sliding layers, for all layers', () => {
    const [full, sliding] = [1e6, 500].map((rope_theta) => ({ rope_type: 'default', rope_theta }));
    const ropeOf = (rope_parameters: Json, algorithm = 'eagle3') => {
      const config = configOf('eagle3');
      const own = { ...(config['transformer_layer_config'] as Json), rope_theta: null };
      const layers = { ...own, rope_parameters };
      const json = {
        ...config,
        speculators_model_type: algorithm,
        transformer_layer_config: layers,
      };
      return readDraftConfig(readSpeculatorConfig(json, 'here'), 'here').rope;
    };
    const both = { full_attention: full, sliding_attention: sliding };
    expect(ropeOf(both)).toEqual({ type: 'default', theta: 500 });
    expect(ropeOf({ full_attention: full })).toEqual({ type: 'default', theta: 1e6 });
    // The layer of multi-token prediction is the target's own.
    expect(() => ropeOf(both, 'mtp')).toThrow(
      'rope_parameters.full_attention: expected one set of parameters for all layers',
    );
  });

  it.each<[string, (config: Json) => Json, RegExp]>([
    ['no speculator', ({ speculators_model_type: _, ...rest }) => rest, /speculators_model_type/],
    [
      'an unknown algorithm',
      (config) => ({ ...config, speculators_model_type: 'medusa9' }),
      /expected eagle, eagle3/,
    ],
    [
      'a default method that is none',
      (config) => ({
        ...config,
        speculators_config: {
          ...(config['speculators_config'] as Json),
          default_proposal_method: 'sampling',
        },
      }),
      /default_proposal_method: expected one of greedy, got sampling/,
    ],
    [
      'both norms before fc',
      (config) => ({ ...config, norm_before_fc: true, fc_norm: true }),
      /got both/,
    ],
    [
      'a layer that the target does not have',
      (config) => ({ ...config, eagle_aux_hidden_state_layer_ids: [1, 2, 9] }),
      /expected layers from 0 to 8, got 9/,
    ],
    [
      'another vocabulary',
      (config) => ({ ...config, draft_vocab_size: 41 }),
      /lm_head.weight: expected shape \[41, 32\]/,
    ],
    [
      'a head of another target',
      (config) => ({
        ...config,
        transformer_layer_config: {
          ...(config['transformer_layer_config'] as Json),
          vocab_size: 65,
        },
      }),
      /vocab_size: expected the target's 64, got 65/,
    ],
  ])('refuses %s', async (_, change, message) => {
    await expect(loadWith('eagle3', change(configOf('eagle3')))).rejects.toThrow(message);
  });

  it('names weights that are missing, and those that nobody uses', async () => {
    const config = { ...configOf('eagle1'), fusion_bias: true };
    await expect(loadWith('eagle1', config)).rejects.toThrow('missing fusion_fc.bias [32]');
    await expect(loadWith('hass', configOf('eagle1'))).rejects.toThrow('unused fusion_fc.bias');
    await expect(loadWith('hass', configOf('eagle1'))).rejects.toThrow(FormatError);
  });

  it('tells ids in d2t from offsets', async () => {
    const data = bytes('eagle3');
    const view = new DataView(data.buffer);
    const headerLength = Number(view.getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(data.subarray(8, 8 + headerLength)));
    const [from] = header.d2t.data_offsets;
    for (let token = 0; token < 40; token++) {
      const at = 8 + headerLength + from + 8 * token;
      view.setBigInt64(at, view.getBigInt64(at, true) + BigInt(token), true);
    }
    await expect(loadWith('eagle3', configOf('eagle3'), data)).rejects.toThrow(
      'expected d2t to name the 40 tokens of t2d by offsets, got their ids themselves',
    );
  });

  it.each(['eagle1', 'hass', 'eagle3', 'eagle31-fcnorm', 'eagle3-nbr-fullvocab'])(
    'is written as it was read: %s, from files, and from a config with weights',
    async (name) => {
      const contentOf = async (source: FolderSource) => {
        const { tensors, readInto } = await openCheckpoint(source);
        const all: [string, string, TensorData][] = [];
        for (const [key, { type, shape, from, to }] of tensors) {
          const data = new Uint8Array(to - from);
          await readInto(key, 0, data);
          const dtype = type as 'F32';
          all.push([key, `${type} [${shape}] ${data.join()}`, { name: key, dtype, shape, data }]);
        }
        return all.toSorted(([a], [b]) => (a < b ? -1 : 1));
      };
      const config = { ...configOf(name), of_mine: { kept: true } };
      const source = memorySource(
        { 'config.json': JSON.stringify(config), 'model.safetensors': bytes(name) },
        name,
      );
      const before = await contentOf(source);
      using read = await Speculator.fromPretrained(source, { verifier });
      using made = await Speculator.fromConfig(
        config,
        before.map(([, , tensor]) => tensor),
        { verifier },
      );
      for (const speculator of [read, made]) {
        const files = await speculator.files();
        expect(JSON.parse(String(files['config.json']))).toEqual(config);
        const after = await contentOf(memorySource(files, 'after'));
        expect(after.map(([key, content]) => [key, content])).toEqual(
          before.map(([key, content]) => [key, content]),
        );
      }
    },
  );

  it('loads from the folder that it was saved to, beside other files, and again after being saved over', async () => {
    const parent = mkdtempSync(join(tmpdir(), 'speculator-'));
    try {
      const folder = join(parent, 'saved/here');
      using read = await Speculator.fromPretrained(golden('heads/eagle3'), { verifier });
      await read.savePretrained(folder);
      writeFileSync(join(folder, 'README.md'), 'mine');
      using again = await Speculator.fromPretrained(folder, { verifier });
      await again.savePretrained(folder);
      using last = await Speculator.fromPretrained(folder, { verifier });
      expect(await last.files()).toEqual(await read.files());
      expect(last.config).toEqual(read.config);
      expect(readdirSync(folder).toSorted()).toEqual([
        'README.md',
        'config.json',
        'model.safetensors',
      ]);
    } finally {
      rmSync(parent, { recursive: true });
    }
  });

  it('names a folder that it cannot be saved to', async () => {
    using read = await Speculator.fromPretrained(golden('heads/eagle3'), { verifier });
    const file = join(golden('heads/eagle3'), 'config.json');
    await expect(read.savePretrained(file)).rejects.toThrow(
      `${file}: expected a folder that can be written, got`,
    );
  });

  it('is not written with weights in blocks', async () => {
    const source = memorySource(
      { 'config.json': JSON.stringify(configOf('eagle1')), 'model.safetensors': bytes('eagle1') },
      'eagle1',
    );
    using small = await Speculator.fromPretrained(source, { verifier, dtype: 'q8_0' });
    await expect(small.files()).rejects.toThrow('got fusion_fc.weight in q8_0');
  });

  it('says whether a folder is one', async () => {
    expect(await Speculator.isIn(golden('heads/eagle3'))).toBe(true);
    expect(await Speculator.isIn(golden('tiny-random-llama-8l'))).toBe(false);
  });
});

describe('proposal methods of old versions', () => {
  const withList = (version: string | null, methods: readonly string[], named: string): Json => ({
    ...configOf('eagle3'),
    speculators_version: version,
    speculators_config: {
      ...(configOf('eagle3')['speculators_config'] as Json),
      proposal_methods: methods.map((proposal_type) => ({ proposal_type })),
      default_proposal_method: named,
    },
  });

  it.each([
    [
      '0.5.0',
      [],
      'greedy',
      'greedy',
      'speculators_config.proposal_methods: none; greedy with its defaults stands for them',
    ],
    [
      '0.1.0',
      [],
      'dynamic_tree',
      'dynamic_tree',
      'speculators_config.proposal_methods: none; dynamic_tree with its defaults stands for them',
    ],
    [
      null,
      ['static_tree', 'greedy'],
      'sampling',
      'static_tree',
      'speculators_config.default_proposal_method: sampling is none of static_tree, greedy; the first counts',
    ],
  ])('%s may be %o with the default %s, read as %s', async (version, listed, named, type, note) => {
    const config = withList(version, listed, named);
    using speculator = await loadWith('eagle3', config);
    expect(speculator.config.defaultProposal).toBe(type);
    expect(speculator.notes).toContain(note);
    expect(speculator.proposal().draftLength).toBeGreaterThan(0);
    // As they were read.
    expect(JSON.parse(String((await speculator.files())['config.json']))).toEqual(config);
    expect(() => exportVllm(speculator.config, { speculator: 'head' })).toThrow(
      'proposal_methods[0].speculative_tokens',
    );
  });

  it.each([
    [[], 'no methods'],
    [['static_tree', 'greedy'], 'static_tree, greedy'],
  ])('since 0.6 may not be %o with another default', async (listed, names) => {
    for (const version of ['0.6.0', '0.8.0'])
      await expect(loadWith('eagle3', withList(version, listed, 'sampling'))).rejects.toThrow(
        `default_proposal_method: expected one of ${names}, got sampling`,
      );
  });
});

describe('a proposal method', () => {
  const PROMPT = [1, 5, 9, 5, 9, 5];
  const METHODS: readonly Json[] = [
    { proposal_type: 'greedy', speculative_tokens: 3 },
    { proposal_type: 'sampling', speculative_tokens: 4 },
    { proposal_type: 'static_tree', initial_branching_factor: 3, branching_factor: 2, depth: 2 },
    { proposal_type: 'dynamic_tree', speculative_tokens: 7, expansion_factor: 3, depth: 3 },
  ];

  it('is options of generate: shape, length and verifier, the default by its name', async () => {
    using speculator = await loadWith('eagle3', withMethods(METHODS));
    const most: Record<string, number> = {};
    for (const { proposal_type: type } of METHODS) {
      const proposal = speculator.proposal(type as 'greedy');
      const temperature = type === 'sampling' ? 1 : 0;
      const options = { temperature, maxTokens: 24, ignoreEos: true };
      const { stats } = await generate({ model: verifier, tokenizer: spelled }, PROMPT, {
        ...options,
        ...proposal,
      });
      most[String(type)] = stats.drafting.roundsByDraft.length - 1;
      expect(proposal.verifier?.name).toBe(type === 'sampling' ? 'rejection' : undefined);
      proposal.drafter.dispose?.();
    }
    expect(most).toEqual({ greedy: 3, sampling: 4, static_tree: 9, dynamic_tree: 7 });
    expect(speculator.proposal().draftLength).toBe(3);
  });

  it('is called lossy where it changes the text, and refused where the config has none of its name', async () => {
    using lenient = await loadWith(
      'eagle3',
      withMethods([{ proposal_type: 'sampling', accept_lenience: 0.5 }]),
    );
    expect(lenient.proposal().verifier).toMatchObject({ name: 'rejection' });
    expect(lenient.notesOn()).toContain(
      'sampling: accept_lenience 0.5 would change the law of the text (lossy), and is not followed',
    );
    expect(lenient.proposal('sampling').verifier).toMatchObject({
      name: 'lenient',
      guarantee: 'lossy',
    });
    expect(lenient.notesOn('sampling')).toContain(
      'sampling: accept_lenience 0.5 changes the law of the text (lossy)',
    );
    expect(() => lenient.proposal('greedy')).toThrow(OptionError);
    using tolerant = await loadWith(
      'eagle3',
      withMethods([{ proposal_type: 'greedy', verifier_accept_k: 2, accept_tolerance: 0.5 }]),
    );
    expect(tolerant.proposal().verifier).toBeUndefined();
    expect(tolerant.proposal('greedy').verifier).toMatchObject({
      name: 'tolerant',
      guarantee: 'lossy',
    });
    expect(tolerant.notesOn('greedy')).toContain(
      'greedy: verifier_accept_k 2 with accept_tolerance 0.5 changes the text (lossy)',
    );
    using exact = await loadWith(
      'eagle3',
      withMethods([{ proposal_type: 'greedy', verifier_accept_k: 2, accept_tolerance: 0 }]),
    );
    expect(exact.proposal().verifier).toBeUndefined();
    using large = await loadWith(
      'eagle3',
      withMethods([{ proposal_type: 'greedy', speculative_tokens: 300 }]),
    );
    expect(large.notesOn()).toContain(
      'greedy: 128 of the 300 tokens that it asks for are drafted in a round',
    );
  });

  it.each([0, 0.9])(
    'drafts whole trees of the size that the format gives by default, up to the end of the context, at temperature %d',
    async (temperature) => {
      using speculator = await loadWith(
        'eagle3',
        withMethods([{ proposal_type: 'static_tree' }, { proposal_type: 'dynamic_tree' }]),
      );
      const target = { model: verifier, tokenizer: spelled };
      const options = { temperature, seed: 3, ignoreEos: true };
      const plain = await generate(target, PROMPT, options);
      expect(plain.tokens).toHaveLength(96 - PROMPT.length);
      for (const [type, nodes] of [
        ['static_tree', 124],
        ['dynamic_tree', 48],
      ] as const) {
        expect(speculator.notesOn(type)).toEqual([]);
        const proposal = speculator.proposal(type);
        const { tokens, stats } = await generate(target, PROMPT, { ...options, ...proposal });
        expect(tokens).toEqual(plain.tokens);
        expect(stats.drafting.roundsByDraft).toHaveLength(nodes + 1);
        expect(stats.drafting.roundsByDraft[nodes]).toBeGreaterThan(5);
        proposal.drafter.dispose?.();
      }
    },
  );
});
