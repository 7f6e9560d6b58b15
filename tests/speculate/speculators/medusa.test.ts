// Medusa heads against a second implementation in float64: every head on the same state, whatever the tokens.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../../src/kernels/backend.ts';
import { FormatError } from '../../../src/kernels/errors.ts';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import type { DepthHead } from '../../../src/speculate/speculators/head.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import type { TensorData } from '../../../src/tensor/safetensors.ts';
import { numbers } from '../../kernels/toy.ts';
import {
  BACKENDS,
  best,
  distance,
  finalNorm,
  lastOf,
  PROMPT,
  TARGET,
  tensorsWith,
  VOCAB,
  WIDTH,
} from './depth-heads.ts';
import {
  HEADS,
  logitsOf,
  MAP,
  makeHead,
  mapTensor,
  PLAIN,
  tensorsOf,
  VARIANTS,
} from './medusa-head.ts';

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
    const source = makeHead(variant);
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
    const source = makeHead(PLAIN);
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
    const source = makeHead(variant);
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

  it('loads from the folder that it was saved to, its map as it was', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'medusa-'));
    try {
      for (const variant of VARIANTS) {
        using read = await load(variant, { of_mine: { kept: true } });
        await read.savePretrained(folder);
        using again = await Speculator.fromPretrained(folder, { verifier });
        expect(await again.files()).toEqual(await read.files());
        expect(again.config).toEqual(read.config);
        expect(again.head!.targetIds === null).toBe(!variant.truncated);
        if (variant.truncated) expect([...again.head!.targetIds!]).toEqual(MAP);
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
    expect([...turned.head!.targetIds!]).toEqual(whole);
    await expect(load(PLAIN, {}, [...tensorsOf(PLAIN), mapTensor(MAP)])).rejects.toThrow(
      'token_map: expected I64 [64], got I64 [40]',
    );
  });
});
