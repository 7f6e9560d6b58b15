// Medusa heads against a second implementation in float64: every head on the same state, whatever the tokens.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../../src/kernels/backend.ts';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import { FormatError } from '../../../src/kernels/errors.ts';
import { reference } from '../../../src/kernels/reference/index.ts';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import type { DraftHeadOptions } from '../../../src/speculate/drafters/head.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { generate } from '../../../src/speculate/generate.ts';
import type { DepthHead } from '../../../src/speculate/speculators/head.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { rejection } from '../../../src/speculate/verifiers/rejection.ts';
import type { TensorData } from '../../../src/tensor/safetensors.ts';
import type { FolderSource } from '../../../src/tensor/source.ts';
import { numbers } from '../../kernels/toy.ts';
import { spelled } from '../fixtures.ts';
import {
  best,
  distance,
  finalNorm,
  folderOf,
  lastOf,
  PROMPT,
  product,
  randomTensors,
  TARGET,
  type Tensors,
  tensorsWith,
  type Vector,
  VOCAB,
  WIDTH,
} from './depth-heads.ts';

const HEADS = 3;
/** Some of the target's tokens, in no order. */
const MAP = Array.from({ length: 40 }, (_, token) => (token * 27 + 11) % VOCAB);

interface Variant {
  readonly num_hidden_layers: number;
  readonly medusa_fc_bias: boolean;
  readonly original_lm_head: boolean;
  /** Whether the original head is in the file. */
  readonly stored: boolean;
  readonly truncated: boolean;
}
const PLAIN: Variant = {
  num_hidden_layers: 1,
  medusa_fc_bias: false,
  original_lm_head: false,
  stored: true,
  truncated: false,
};
const VARIANTS: readonly Variant[] = [
  PLAIN,
  { ...PLAIN, num_hidden_layers: 2, medusa_fc_bias: true },
  { ...PLAIN, truncated: true, medusa_fc_bias: true },
  { ...PLAIN, original_lm_head: true },
  { ...PLAIN, original_lm_head: true, stored: false },
  { ...PLAIN, original_lm_head: true, truncated: true, num_hidden_layers: 0 },
];

const mapTensor = (ids: readonly number[]): TensorData => ({
  name: 'token_map',
  dtype: 'I64',
  shape: [ids.length],
  data: new Uint8Array(BigInt64Array.from(ids, BigInt).buffer),
});

function tensorsOf(variant: Variant): TensorData[] {
  const drafted = variant.truncated ? MAP.length : VOCAB;
  const matrices = variant.original_lm_head ? [0] : [0, 1, 2];
  const layers = Array.from({ length: variant.num_hidden_layers }, (_, layer) => layer);
  return [
    ...randomTensors(
      [
        ...[0, 1, 2].flatMap((head) =>
          layers.flatMap((layer) => [
            [`blocks.${head}.layers.${layer}.weight`, [WIDTH, WIDTH]] as const,
            ...(variant.medusa_fc_bias
              ? [[`blocks.${head}.layers.${layer}.bias`, [WIDTH]] as const]
              : []),
          ]),
        ),
        ...(variant.stored
          ? matrices.map((head) => [`lm_heads.${head}.weight`, [drafted, WIDTH]] as const)
          : []),
      ],
      500,
    ),
    ...(variant.truncated ? [mapTensor(MAP)] : []),
  ];
}

function makeHead(
  { stored: _, truncated, ...fields }: Variant,
  change: object,
  tensors: readonly TensorData[],
): FolderSource {
  const own = {
    hidden_size: WIDTH,
    vocab_size: VOCAB,
    num_heads: HEADS,
    ...(truncated && { truncated_vocab_size: MAP.length }),
    ...fields,
  };
  return folderOf('medusa', { ...own, ...change }, tensors);
}

/** Logits of a head over its own vocabulary. */
function logitsOf(tensors: Tensors, state: Vector, head: number, variant: Variant): Vector {
  let x = state;
  for (let layer = 0; layer < variant.num_hidden_layers; layer++) {
    const at = `blocks.${head}.layers.${layer}`;
    const bias = tensors.get(`${at}.bias`)?.data;
    const y = product(tensors, `${at}.weight`, x).map((value, i) => value + (bias?.[i] ?? 0));
    x = x.map((value, i) => value + y[i] / (1 + Math.exp(-y[i])));
  }
  const matrix = variant.stored
    ? `lm_heads.${variant.original_lm_head ? 0 : head}.weight`
    : 'lm_head.weight';
  return product(tensors, matrix, x);
}

const BACKENDS: readonly { readonly name: string; open(): Backend }[] = [
  { name: 'reference', open: reference },
  { name: 'cpu', open: cpu },
  { name: 'wasm', open: () => wasm({ threads: 2 }) },
];

describe.each(BACKENDS)('Medusa heads on $name', ({ open }) => {
  let backend: Backend;
  let verifier: Decoder;
  beforeAll(async () => {
    backend = open();
    verifier = await loadModel(TARGET, { backend, contextLength: 96 });
  });
  afterAll(() => {
    verifier.dispose();
    backend.dispose();
  });

  it.each(VARIANTS)('give the logits of the second implementation: %j', async (variant) => {
    const source = makeHead(variant, {}, tensorsOf(variant));
    using speculator = await Speculator.fromPretrained(source, { verifier });
    const head = speculator.head as DepthHead;
    const { hidden } = await lastOf(verifier);
    const tensors = await tensorsWith(source);
    const first = finalNorm(tensors, [...hidden[0]]);
    const [state] = await head.fuse(hidden);
    expect(distance(state, first)).toBeLessThan(1e-4);
    expect(head.steps).toBe(HEADS);
    for (let depth = 0; depth < HEADS; depth++) {
      const [found] = await head.pass(depth, [{ token: 0, state }]);
      expect(distance(found.logits, logitsOf(tensors, first, depth, variant))).toBeLessThan(1e-4);
      expect(found.state).toBe(state);
    }
  });

  it('give a row the same bits in any company, and one row to one state', async () => {
    const source = makeHead(PLAIN, {}, tensorsOf(PLAIN));
    using speculator = await Speculator.fromPretrained(source, { verifier });
    const head = speculator.head as DepthHead;
    const count = verifier.maxRows + 3;
    const pairs = Array.from({ length: count }, (_, at) => ({
      token: 0,
      state: numbers(at, WIDTH),
    }));
    for (let depth = 0; depth < HEADS; depth++) {
      const together = await head.pass(depth, pairs);
      for (const at of [0, 3, count - 1])
        expect(await head.pass(depth, [pairs[at]])).toEqual([together[at]]);
    }
    const rows: number[] = [];
    const { run } = backend;
    Object.assign(backend, {
      run: (...args: Parameters<typeof run>) => {
        rows.push(args[1].extents.T);
        run.apply(backend, args);
      },
    });
    try {
      const same = await head.pass(
        1,
        [4, 5, 6].map((token) => ({ ...pairs[0], token })),
      );
      expect(rows).toEqual([1]);
      expect(same[2]).toEqual(same[0]);
    } finally {
      Object.assign(backend, { run });
    }
  });
});

describe('a Medusa head', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: wasm({ threads: 1 }), contextLength: 96 });
  });
  afterAll(() => verifier.dispose());
  const load = (variant = PLAIN, change: object = {}, tensors = tensorsOf(variant)) =>
    Speculator.fromPretrained(makeHead(variant, change, tensors), { verifier });

  it('drafts the most probable tokens of its vocabulary as the target names them', async () => {
    const variant = { ...PLAIN, truncated: true };
    const source = makeHead(variant, {}, tensorsOf(variant));
    using speculator = await Speculator.fromPretrained(source, { verifier });
    const { hidden, token } = await lastOf(verifier);
    const tensors = await tensorsWith(source);
    const first = finalNorm(tensors, [...hidden[0]]);
    const drafter = speculator.drafter({ paths: { expansion: [2, 1, 2], kept: 4 } });
    const unused = () => {
      throw new Error('this tree chooses its tokens itself');
    };
    const { tokens, parents } = await drafter.draft({
      tokens: [...PROMPT, token],
      hidden,
      maxTokens: 64,
      maxDepth: 16,
      law: unused,
      draw: unused,
    });
    drafter.dispose?.();
    const [a, b, c] = [2, 1, 2].map((count, head) =>
      best(logitsOf(tensors, first, head, variant), count).map((each) => MAP[each.token]),
    );
    // A Cartesian product, level by level.
    expect(tokens.map((each) => each.token)).toEqual([...a, ...b, ...b, ...c, ...c]);
    expect(parents).toEqual([-1, -1, 0, 1, 2, 2, 3, 3]);
  });

  const SHAPES: readonly DraftHeadOptions[] = [
    { branching: [1] },
    { branching: [3, 2, 1] },
    { dynamic: { expansion: 3, levels: 3, tokens: 6 } },
  ];

  it.each(SHAPES)('leaves the text of the target as it is: %j', async (shape) => {
    for (const variant of [PLAIN, { ...PLAIN, truncated: true }]) {
      using speculator = await load(variant);
      const target = { model: verifier, tokenizer: spelled };
      const drafter = speculator.drafter(shape);
      let draftedTokens = 0;
      for (const seed of [0, ...Array.from({ length: 50 }, (_, each) => each + 1)]) {
        const options = { maxTokens: 12, ignoreEos: true, temperature: seed === 0 ? 0 : 0.9, seed };
        const plain = await generate(target, PROMPT, { ...options, drafter: none() });
        const { tokens, stats } = await generate(target, PROMPT, {
          ...options,
          drafter,
          draftLength: 6,
        });
        expect(tokens, `seed ${seed}`).toEqual(plain.tokens);
        draftedTokens += stats.draftedTokens;
      }
      expect(draftedTokens).toBeGreaterThan(500);
      drafter.dispose?.();
    }
  });

  it.each(SHAPES)('drafts for the verifier rejection, too: %j', async (shape) => {
    using speculator = await load({ ...PLAIN, truncated: true });
    const drafter = speculator.drafter(shape);
    let accepted = 0;
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const { tokens, stats } = await generate({ model: verifier, tokenizer: spelled }, PROMPT, {
        maxTokens: 32,
        ignoreEos: true,
        temperature: 1.2,
        seed,
        drafter,
        draftLength: 6,
        verifier: rejection,
      });
      expect(tokens).toHaveLength(32);
      accepted += stats.acceptedTokens;
    }
    expect(accepted).toBeGreaterThan(0);
    drafter.dispose?.();
  });

  it('loads from the folder that it was saved to, its map as it was', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'medusa-'));
    try {
      for (const variant of VARIANTS) {
        using read = await load(variant, { of_mine: { kept: true } });
        await read.savePretrained(folder);
        using again = await Speculator.fromPretrained(folder, { verifier });
        expect(await again.files()).toEqual(await read.files());
        expect(again.config).toEqual(read.config);
        expect(again.head.targetIds === null).toBe(!variant.truncated);
        if (variant.truncated) expect([...again.head.targetIds!]).toEqual(MAP);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each<[string, object, string]>([
    ['another width', { hidden_size: 48 }, "medusa: hidden_size: expected the target's 32, got 48"],
    ['another vocabulary', { vocab_size: 60 }, "medusa: vocab_size: expected the target's 64"],
    [
      'a vocabulary that is not truncated',
      { truncated_vocab_size: 65 },
      'medusa: truncated_vocab_size: expected at most 64, got 65',
    ],
    ['no heads', { num_heads: 0 }, 'num_heads'],
    ['a head that is not there', { num_heads: 4 }, 'missing lm_heads.3.weight [64, 32]'],
    ['layers that nobody uses', { num_hidden_layers: 0 }, 'unused blocks.0.layers.0.weight'],
    ['biases that are not there', { medusa_fc_bias: true }, 'missing blocks.0.layers.0.bias [32]'],
    ['heads that nobody uses', { original_lm_head: true }, 'unused lm_heads.1.weight'],
  ])('refuses %s', async (_, change, message) => {
    await expect(load(PLAIN, change)).rejects.toThrow(message);
    await expect(load(PLAIN, change)).rejects.toThrow(FormatError);
  });

  const truncated = { ...PLAIN, truncated: true };
  const withMap = (map: TensorData | null) => [
    ...tensorsOf(truncated).filter(({ name }) => name !== 'token_map'),
    ...(map === null ? [] : [map]),
  ];
  it.each<[string, TensorData | null, string]>([
    ['none', null, 'expected token_map for a vocabulary of 40 of 64 tokens, got none'],
    [
      'one of another length',
      mapTensor(MAP.slice(1)),
      'token_map: expected I64 [40], got I64 [39]',
    ],
    [
      'a token twice',
      mapTensor(MAP.with(7, MAP[3])),
      `token_map: expected different tokens from 0 to 63, got ${MAP[3]} twice`,
    ],
    ['no token', mapTensor(MAP.with(7, 64)), 'token_map: expected different tokens from 0 to 63'],
    ['no token below', mapTensor(MAP.with(0, -1)), 'from 0 to 63, got -1'],
    [
      'floats',
      { name: 'token_map', dtype: 'f32', shape: [40], data: Float32Array.from(MAP) },
      'token_map: expected I64 [40], got F32 [40]',
    ],
  ])('refuses a map with %s', async (_, map, message) => {
    await expect(load(truncated, {}, withMap(map))).rejects.toThrow(message);
  });

  it('refuses the map of a vocabulary that is whole, unless it is one', async () => {
    const whole = Array.from({ length: VOCAB }, (_, token) => VOCAB - 1 - token);
    using turned = await load(PLAIN, {}, [...tensorsOf(PLAIN), mapTensor(whole)]);
    expect([...turned.head.targetIds!]).toEqual(whole);
    await expect(load(PLAIN, {}, [...tensorsOf(PLAIN), mapTensor(MAP)])).rejects.toThrow(
      'token_map: expected I64 [64], got I64 [40]',
    );
  });
});
