// The rules by which MLP speculators and Medusa heads come from the layouts of their projects and go back: the same bytes under other
// names, a config that is equal, and nothing made up.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FormatError, UnsupportedError } from '../../../src/kernels/errors.ts';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import type { Json } from '../../../src/speculate/speculators/config.ts';
import {
  type Conversion,
  convertSpeculator,
  exportResearch,
} from '../../../src/speculate/speculators/convert.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { migrateSpeculator } from '../../../src/speculate/speculators/migrate.ts';
import type { ResearchFormat } from '../../../src/speculate/speculators/research/format.ts';
import {
  medusaFormat,
  medusaVllmFormat,
} from '../../../src/speculate/speculators/research/medusa.ts';
import { mlpFormat } from '../../../src/speculate/speculators/research/mlp.ts';
import { type TensorData, writeSafetensors } from '../../../src/tensor/safetensors.ts';
import { memorySource } from '../../../src/tensor/source.ts';
import { randomTensors, type Shapes, TARGET, VOCAB, WIDTH } from './depth-heads.ts';
import { wholeTensors } from './research.ts';

const verifierConfig: Json = JSON.parse(readFileSync(`${TARGET}/config.json`, 'utf8'));

/** A head in the layout of its project. */
interface Source {
  readonly format: ResearchFormat;
  readonly own: Json;
  readonly tensors: readonly TensorData[];
}

const INNER = 24;
const ibm = (own: object, prefix = 'speculator.', sets: readonly number[] = [0, 1, 2]): Source => {
  const shapes: Shapes = [
    ...sets.flatMap((i) => [
      [`${prefix}emb.${i}.weight`, [VOCAB, INNER]] as const,
      [`${prefix}head.${i}.weight`, [VOCAB, INNER]] as const,
      [`${prefix}ln.${i}.weight`, [INNER]] as const,
      [`${prefix}ln.${i}.bias`, [INNER]] as const,
    ]),
    ...(sets.length === 1 ? [0, 1] : sets).map(
      (i) => [`${prefix}proj.${i}.weight`, [INNER, i === 0 ? WIDTH : INNER]] as const,
    ),
  ];
  return {
    format: mlpFormat,
    own: {
      architectures: ['MLPSpeculatorPreTrainedModel'],
      model_type: 'mlp_speculator',
      torch_dtype: 'float16',
      transformers_version: '4.40.0',
      vocab_size: VOCAB,
      emb_dim: WIDTH,
      inner_dim: INNER,
      ...own,
    },
    tensors: randomTensors(shapes, 20),
  };
};
const authors = (own: object, prefix = '', layers = 1): Source => ({
  format: medusaFormat,
  own: { base_model_name_or_path: 'a/model', ...own },
  tensors: randomTensors(
    [0, 1].flatMap((h) => [
      ...Array.from({ length: layers }, (_, l) => [
        [`${prefix}${h}.${l}.linear.weight`, [WIDTH, WIDTH]] as const,
        [`${prefix}${h}.${l}.linear.bias`, [WIDTH]] as const,
      ]).flat(),
      [`${prefix}${h}.${layers}.weight`, [VOCAB, WIDTH]] as const,
    ]),
    30,
  ),
});
const vllm = (own: object): Source => ({
  format: medusaVllmFormat,
  own: {
    architectures: ['MedusaModel'],
    model_type: 'medusa',
    hidden_size: WIDTH,
    vocab_size: VOCAB,
    num_heads: 1,
    ...own,
  },
  tensors: [
    ...randomTensors(
      [
        ['blocks.0.layers.0.weight', [WIDTH, WIDTH]],
        ['lm_heads.0.weight', [10, WIDTH]],
      ],
      40,
    ),
    {
      name: 'token_map',
      dtype: 'I64',
      shape: [10],
      data: new Uint8Array(BigInt64Array.from({ length: 10 }, (_, i) => BigInt(60 - i)).buffer),
    },
  ],
});

const SOURCES: readonly (readonly [string, Source, RegExp])[] = [
  ['an MLP speculator of IBM', ibm({ n_candidates: 4, scale_input: true, of_ibm: [1] }), /^mlp$/],
  ['one with defaults', ibm({}), /^mlp$/],
  [
    'one that is tied, without a prefix',
    ibm({ tie_weights: true, n_predict: 4, top_k_tokens_per_head: [4, 3, 2, 2] }, '', [0]),
    /^mlp$/,
  ],
  [
    'Medusa heads of their authors',
    authors({ medusa_num_heads: 2, medusa_num_layers: 1 }),
    /^medusa$/,
  ],
  ['some with a prefix, and a config that says nothing', authors({}, 'medusa_head.'), /^medusa$/],
  ['some of two blocks', authors({ medusa_num_layers: 2 }, '', 2), /^medusa$/],
  ['some of two blocks that no config tells', authors({}, '', 2), /^medusa$/],
  ['Medusa heads of vLLM', vllm({ truncated_vocab_size: 10, topk: 10 }), /^medusa$/],
];

const sourceOf = ({ own, tensors }: Source) =>
  memorySource(
    { 'config.json': JSON.stringify(own), 'model.safetensors': writeSafetensors(tensors) },
    'source',
  );
const converted = (source: Source, verifier = verifierConfig) =>
  convertSpeculator(sourceOf(source), { verifier: { config: verifier, name: null } });
const returned = async ({ files }: Conversion, changes: Json = {}) => {
  const { 'config.json': config, ...rest } = await files();
  const changed = { ...JSON.parse(String(config)), ...changes };
  return exportResearch(memorySource({ ...rest, 'config.json': JSON.stringify(changed) }, 'made'));
};

describe('layouts of research projects', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: wasm({ threads: 1 }), contextLength: 96 });
  });
  afterAll(() => verifier.dispose());

  it.each(SOURCES)(
    '%s becomes a speculator that loads, every tensor used',
    async (_, source, name) => {
      const made = await converted(source);
      expect(made.notes).toEqual([]);
      const folder = memorySource(await made.files(), 'made');
      expect((await migrateSpeculator(folder)).changes).toEqual([]);
      using speculator = await Speculator.fromPretrained(folder, { verifier });
      expect(speculator.config.algorithm).toMatch(name);
      expect(speculator.notes).toEqual([]);
      expect(speculator.head!.steps).toBe(
        source.own['n_predict'] ?? source.own['num_heads'] ?? (source.format === mlpFormat ? 3 : 2),
      );
    },
  );

  it.each(SOURCES)('%s goes back, config, names and bytes', async (_, source) => {
    const back = await returned(await converted(source));
    expect(back.config).toEqual(source.own);
    const byName = (tensors: readonly TensorData[]) =>
      tensors
        .map(({ name, shape, data }) => [
          name,
          shape,
          Buffer.from(data.buffer, data.byteOffset, data.byteLength),
        ])
        .toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1));
    expect(byName(await wholeTensors(back.tensors))).toEqual(byName(source.tensors));
  });

  it('is told by its tensors or its config, and by one format only', () => {
    for (const [, { format, own, tensors }] of SOURCES) {
      const names = new Set(tensors.map(({ name }) => name));
      const found = [mlpFormat, medusaFormat, medusaVllmFormat].filter((each) =>
        each.matches(own, names),
      );
      expect(found).toEqual([format]);
      expect(format.matches({}, names)).toBe(true);
      expect(format.matches({}, new Set(['fc.weight', 'layers.0.mlp.up_proj.weight']))).toBe(false);
    }
  });

  it('has no place for other tensors, in either direction', () => {
    for (const format of [mlpFormat, medusaFormat, medusaVllmFormat])
      for (const name of [
        'fc.weight',
        'ln0.weight',
        'speculator.proj.0.bias',
        'd2t',
        'emb.weight',
      ]) {
        expect(format.fate(name)).toBeUndefined();
        expect(format.back(name)).toBeUndefined();
      }
  });

  it('writes what a config says now over what was kept', async () => {
    const made = await converted(ibm({ of_ibm: 1 }));
    const { config } = await returned(made, { n_candidates: 9, scale_input: true });
    expect(config).toMatchObject({ n_candidates: 9, scale_input: true, of_ibm: 1, emb_dim: WIDTH });
    const {
      converted_from: _,
      top_k_tokens_per_head: __,
      n_candidates: ___,
      ...mine
    } = made.config;
    expect(mlpFormat.ownConfig(mine)).toEqual({
      architectures: ['MLPSpeculatorPreTrainedModel'],
      model_type: 'mlp_speculator',
      vocab_size: VOCAB,
      emb_dim: WIDTH,
      inner_dim: INNER,
      n_predict: 3,
      top_k_tokens_per_head: [1, 1, 1],
      n_candidates: 1,
      tie_weights: false,
      scale_input: false,
    });
  });

  it.each<[string, () => Promise<unknown>, string, new (...args: never[]) => Error]>([
    [
      'states that IBM has not',
      async () => returned(await converted(ibm({})), { inputs_hidden_states_normalized: false }),
      'inputs_hidden_states_normalized: expected true',
      UnsupportedError,
    ],
    [
      'counts for other steps',
      () => converted(ibm({ n_predict: 4 })),
      'expected as many top_k_tokens_per_head as n_predict',
      FormatError,
    ],
    [
      'another target',
      () => converted(ibm({}), { ...verifierConfig, hidden_size: 64 }),
      "config.json: emb_dim: expected the target's hidden_size 64, got 32",
      FormatError,
    ],
    [
      'heads that are not there',
      () => converted(authors({ medusa_num_heads: 5 })),
      'medusa: num_heads: expected the 5 of config.json, got tensors of 2',
      FormatError,
    ],
    [
      'another vocabulary',
      () => converted(authors({}), { ...verifierConfig, vocab_size: 63 }),
      "rows of its first matrix: expected the target's vocab_size 63, got 64",
      FormatError,
    ],
    [
      'a matrix that is not there',
      () => converted({ ...authors({}), tensors: authors({}).tensors.slice(0, 2) }),
      'expected a matrix 0.{last}.weight of its first head, got none',
      FormatError,
    ],
    [
      'a truncated vocabulary of the authors',
      async () =>
        medusaFormat.ownConfig((await converted(vllm({ truncated_vocab_size: 10 }))).config),
      'over the whole vocabulary',
      UnsupportedError,
    ],
  ])('refuses %s', async (_, convert, message, kind) => {
    await expect(convert()).rejects.toThrow(message);
    await expect(convert()).rejects.toThrow(kind);
  });
});
