// Files that are broken, incomplete or of another kind, one by one: each is refused with one error that names the file and the key,
// and what is at the edge of being broken is read.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FormatError } from '../../../src/kernels/errors.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import {
  readDraftConfig,
  readSpeculatorConfig,
} from '../../../src/speculate/speculators/config.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import type { ProposalMethod } from '../../../src/speculate/speculators/methods.ts';
import { openCheckpoint, type TensorData } from '../../../src/tensor/safetensors.ts';
import { memorySource, openFolder } from '../../../src/tensor/source.ts';
import { loadTiny } from '../../models/fixtures.ts';

type Json = Record<string, unknown>;
const EAGLE3 = fileURLToPath(new URL('../../golden/heads/eagle3', import.meta.url));

let verifier: Decoder;
let config: Json;
let weights: Uint8Array;
let tensors: readonly TensorData[];
beforeAll(async () => {
  verifier = await loadTiny('llama-8l', { contextLength: 64 });
  const source = await openFolder(EAGLE3);
  config = JSON.parse(await source.text('config.json'));
  weights = await source.read('model.safetensors', 0, await source.size('model.safetensors'));
  const { tensors: found, readInto } = await openCheckpoint(source);
  tensors = await Promise.all(
    [...found].map(async ([name, { type, shape, from, to }]) => {
      const data = new Uint8Array(to - from);
      await readInto(name, 0, data);
      return { name, dtype: type as 'F32', shape, data };
    }),
  );
  await source.close();
});
afterAll(() => verifier.dispose());

/** The config with other keys in `speculators_config`. */
const withCommon = (change: Json): Json => ({
  ...config,
  speculators_config: { ...(config['speculators_config'] as Json), ...change },
});
const withMethods = (...methods: readonly unknown[]): Json =>
  withCommon({
    proposal_methods: methods,
    default_proposal_method: (methods[0] as Json | undefined)?.['proposal_type'] ?? 'greedy',
  });
const load = (files: Readonly<Record<string, string | Uint8Array>>) =>
  Speculator.fromPretrained(memorySource(files, 'here'), { verifier });

/** Rejects with a FormatError of such a message. */
async function refused(made: Promise<unknown>, message: string | RegExp): Promise<void> {
  await expect(made).rejects.toThrow(FormatError);
  await expect(made).rejects.toThrow(message);
}

describe('a config.json', () => {
  it.each([
    ['nothing', '', /^here\/config\.json: expected JSON, got /],
    ['half an object', '{"speculators_model_type": "eagle3"', /expected JSON, got /],
    ['a list', '[]', 'here/config.json: '],
    ['null', 'null', 'here/config.json: '],
    ['a number', '7', 'here/config.json: '],
  ])('of %s is refused', async (_, text, message) => {
    await refused(load({ 'config.json': text, 'model.safetensors': weights }), message);
  });

  it.each<[string, () => Json, RegExp]>([
    [
      'an algorithm that is no name',
      () => ({ ...config, speculators_model_type: 5 }),
      /→ at speculators_model_type/,
    ],
    [
      'no speculators_config',
      () => ({ ...config, speculators_config: undefined }),
      /→ at speculators_config/,
    ],
    ['no verifier', () => withCommon({ verifier: undefined }), /→ at speculators_config\.verifier/],
    [
      'a verifier without architectures',
      () => withCommon({ verifier: { name_or_path: null } }),
      /→ at speculators_config\.verifier\.architectures/,
    ],
    [
      'a verifier without a name',
      () => withCommon({ verifier: { architectures: [] } }),
      /→ at speculators_config\.verifier\.name_or_path/,
    ],
    [
      'no methods',
      () => withMethods(),
      /default_proposal_method: expected one of no methods, got /,
    ],
    [
      'a method without a type',
      () => withMethods({ speculative_tokens: 3 }),
      /→ at speculators_config\.proposal_methods\[0\]\.proposal_type/,
    ],
    [
      'a method of a type that there is not',
      () => withMethods({ proposal_type: 'beam' }),
      /→ at speculators_config\.proposal_methods\[0\]\.proposal_type/,
    ],
    [
      'layers that are a list',
      () => ({ ...config, transformer_layer_config: [] }),
      /→ at transformer_layer_config/,
    ],
    [
      'no layers',
      () => ({ ...config, transformer_layer_config: undefined }),
      /transformer_layer_config: expected the configuration of the decoder layers, got none/,
    ],
    [
      'a vocabulary of its own without a head for it',
      () => ({ ...config, draft_vocab_size: 0 }),
      /→ at draft_vocab_size/,
    ],
  ])('with %s is refused', async (_, change, message) => {
    const text = JSON.stringify(change());
    await refused(load({ 'config.json': text, 'model.safetensors': weights }), message);
  });

  it('is read with what other writers leave behind', async () => {
    const json = {
      ...withCommon({ algorithm: 'eagle-3', verifier: { name_or_path: 'x/y', architectures: [] } }),
      architectures: ['Eagle3Speculator'],
      auto_map: { '': 'eagle3.Eagle3SpeculatorConfig' },
      torch_dtype: 'bfloat16',
      return_dict: true,
      has_no_defaults_at_init: false,
      speculators_version: undefined,
    };
    using speculator = await load({
      'config.json': JSON.stringify(json),
      'model.safetensors': weights,
    });
    expect(speculator.config).toMatchObject({
      algorithm: 'eagle3',
      version: null,
      verifier: { nameOrPath: 'x/y', architectures: [] },
      raw: { auto_map: json.auto_map, torch_dtype: 'bfloat16' },
    });
    expect(speculator.notes).toContain(
      'speculators_config.algorithm is eagle-3, speculators_model_type is eagle3, which counts',
    );
  });

  it.each([
    [null, 'llama'],
    ['0.6.9', 'llama'],
    ['0.7.0', 'qwen3'],
    ['0.10.0.dev3', 'qwen3'],
    ['1.0', 'qwen3'],
    ['unknown', 'llama'],
  ])('of version %s without a class of layers has those of %s', (version, type) => {
    const json = {
      ...config,
      speculators_version: version,
      transformer_layer_config: { num_hidden_layers: 1 },
    };
    expect(readDraftConfig(readSpeculatorConfig(json, 'here'), 'here').modelType).toBe(type);
  });

  it('comes through JSON as it was, in every field', () => {
    const read = readSpeculatorConfig(config, 'here');
    expect(readSpeculatorConfig(JSON.parse(JSON.stringify(read.raw)), 'here')).toEqual(read);
  });
});

describe('a proposal method', () => {
  const methods = (...given: readonly Json[]): readonly ProposalMethod[] =>
    readSpeculatorConfig(withMethods(...given), 'here').proposals;

  it.each<[string, Json]>([
    ['greedy', { speculative_tokens: 5, verifier_accept_k: 1, accept_tolerance: 0 }],
    ['sampling', { speculative_tokens: 5, accept_lenience: 1 }],
    ['static_tree', { initial_branching_factor: 4, branching_factor: 2, depth: 5 }],
    ['dynamic_tree', { speculative_tokens: 48, expansion_factor: 10, depth: 6 }],
  ])('has the defaults of %s, which the values given take the place of', (type, defaults) => {
    expect(methods({ proposal_type: type })).toEqual([{ proposal_type: type, ...defaults }]);
    for (const key of Object.keys(defaults))
      expect(methods({ proposal_type: type, [key]: 1, of_mine: 'kept' })).toEqual([
        { proposal_type: type, ...defaults, [key]: 1, of_mine: 'kept' },
      ]);
  });

  it.each<[string, string, readonly unknown[]]>([
    ['greedy', 'speculative_tokens', [0, -1, 2.5, '3', null]],
    ['greedy', 'verifier_accept_k', [0, 1.5]],
    ['greedy', 'accept_tolerance', [-0.1, '0']],
    ['sampling', 'speculative_tokens', [0, 2.5]],
    ['sampling', 'accept_lenience', [-0.1, 1.1, null]],
    ['static_tree', 'initial_branching_factor', [0, 1.5]],
    ['static_tree', 'branching_factor', [0]],
    ['static_tree', 'depth', [0, '5']],
    ['dynamic_tree', 'speculative_tokens', [0]],
    ['dynamic_tree', 'expansion_factor', [0, null]],
    ['dynamic_tree', 'depth', [0, 1.5]],
  ])('of type %s is refused with %s out of its bounds', (type, key, values) => {
    for (const value of values)
      expect(() => methods({ proposal_type: type, [key]: value })).toThrow(
        `→ at speculators_config.proposal_methods[0].${key}`,
      );
  });

  it('is found among several, the first of its type', async () => {
    const json = withMethods(
      { proposal_type: 'static_tree', depth: 2 },
      { proposal_type: 'greedy', speculative_tokens: 2 },
      { proposal_type: 'greedy', speculative_tokens: 9 },
    );
    using speculator = await load({
      'config.json': JSON.stringify(json),
      'model.safetensors': weights,
    });
    expect(speculator.config.proposals).toHaveLength(3);
    expect(speculator.config.defaultProposal).toBe('static_tree');
    expect(speculator.proposal('greedy').draftLength).toBe(2);
    expect(speculator.proposal().draftLength).toBe(4 + 4 * 2);
    expect(speculator.notes).toEqual([
      'speculators_config.proposal_methods: of 2 of type greedy the first counts',
    ]);
  });
});

describe('the folder of a speculator', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'speculator-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('has to be there, with its two files', async () => {
    const open = (path: string) => Speculator.fromPretrained(path, { verifier });
    await refused(open(join(folder, 'none')), `${join(folder, 'none')}: expected a folder, got`);
    await refused(open(folder), `${folder}/config.json: expected a readable file, got`);
    expect(await Speculator.isIn(folder)).toBe(false);
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    expect(await Speculator.isIn(folder)).toBe(true);
    await refused(open(folder), /model\.safetensors/);
    writeFileSync(join(folder, 'model.safetensors'), weights);
    using speculator = await open(folder);
    expect(speculator.config.algorithm).toBe('eagle3');
  });

  it.each([0, 4, 8, 100, 5000])('is refused with weights that end after %d bytes', async (size) => {
    const cut = weights.slice(0, size);
    await refused(
      load({ 'config.json': JSON.stringify(config), 'model.safetensors': cut }),
      /^here\/model\.safetensors: .*expected /,
    );
  });

  it('is refused without a tensor, with one of another shape, and with one too many', async () => {
    const make = (given: readonly TensorData[]) =>
      Speculator.fromConfig(config, given, { verifier });
    for (const { name } of tensors.filter(({ name }) => !/^embed|2/.test(name)))
      await refused(make(tensors.filter((tensor) => tensor.name !== name)), `missing ${name} [`);
    const swapped = tensors.map((tensor) =>
      tensor.name === 'fc.weight' ? { ...tensor, shape: tensor.shape.toReversed() } : tensor,
    );
    await refused(make(swapped), 'fc.weight: expected shape [32, 96]');
    const [first] = tensors;
    await refused(make([...tensors, { ...first, name: 'mine' }]), 'unused mine');
  });

  it.each<[string, (tensor: TensorData) => TensorData | null, string]>([
    [
      'no offsets',
      ({ name, ...rest }) => (name === 'd2t' ? null : { name, ...rest }),
      'got t2d only',
    ],
    ['no mask', ({ name, ...rest }) => (name === 't2d' ? null : { name, ...rest }), 'got d2t only'],
    [
      'neither',
      ({ name, ...rest }) => (name === 'd2t' || name === 't2d' ? null : { name, ...rest }),
      'for a vocabulary of 40 of 64 tokens, got neither',
    ],
    [
      'offsets in 32 bits',
      (tensor) =>
        tensor.name === 'd2t'
          ? { ...tensor, dtype: 'I32', data: tensor.data.slice(0, 160) }
          : tensor,
      'd2t: expected I64 [40], got I32 [40]',
    ],
    [
      'a mask in bytes',
      (tensor) => (tensor.name === 't2d' ? { ...tensor, dtype: 'U8' } : tensor),
      't2d: expected BOOL [64], got U8 [64]',
    ],
    [
      'a mask of other tokens',
      (tensor) =>
        tensor.name === 't2d' ? { ...tensor, data: tensor.data.slice().reverse() } : tensor,
      'expected d2t to name the 40 tokens of t2d by offsets, got others',
    ],
    [
      'a mask of none',
      (tensor) => (tensor.name === 't2d' ? { ...tensor, data: new Uint8Array(64) } : tensor),
      'expected d2t to name the 0 tokens of t2d by offsets, got others',
    ],
  ])('is refused with a vocabulary of %s', async (_, change, message) => {
    const changed = tensors.map(change).filter((tensor) => tensor !== null);
    await refused(Speculator.fromConfig(config, changed, { verifier }), message);
  });
});
