// Every drafter in every shape it has: greedily the tokens of plain decoding, and for 50 seeds of `match` its text.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomHead } from '../../bench/heads.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../src/models/decoder.ts';
import type { Drafter } from '../../src/speculate/drafter.ts';
import { layerSkip } from '../../src/speculate/drafters/layer-skip.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { ngram } from '../../src/speculate/drafters/ngram.ts';
import { none } from '../../src/speculate/drafters/none.ts';
import { prediction } from '../../src/speculate/drafters/prediction.ts';
import type { ShapeOptions } from '../../src/speculate/drafters/shapes.ts';
import { suffix } from '../../src/speculate/drafters/suffix.ts';
import { generate } from '../../src/speculate/generate.ts';
import type { GenerateOptions } from '../../src/speculate/options.ts';
import { Session } from '../../src/speculate/session.ts';
import { ALGORITHMS, type Speculator } from '../../src/speculate/speculators/load.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { traversal } from '../../src/speculate/verifiers/traversal.ts';
import { loadTiny } from '../models/fixtures.ts';
import { spelled } from './fixtures.ts';

const PROMPT = [1, 5, 9, 33, 9, 5, 33];
const LENGTH = 14;
const SEEDS = Array.from({ length: 50 }, (_, seed) => seed);

let model: Decoder;
let draft: Decoder;
beforeAll(async () => {
  const backend = wasm({ threads: 1 });
  model = await loadTiny('llama-8l', { backend, contextLength: 64 });
  draft = await loadTiny('llama', { backend, contextLength: 64 });
});
afterAll(() => {
  draft.dispose();
  model.dispose();
});

const shapes = (): readonly ShapeOptions[] => [
  {},
  { branching: [3, 2, 1] },
  { best: { ladder: model.ladder, width: 3 } },
  { dynamic: { expansion: 3, levels: 3, tokens: 8 } },
  { paths: { expansion: [3, 2], kept: 3 } },
  { minProbability: 0.001 },
];

async function textOf(options: GenerateOptions): Promise<readonly number[]> {
  const common = { maxTokens: LENGTH, ignoreEos: true, draftLength: 6 };
  const target = { model, tokenizer: spelled };
  const { tokens, stats } = await generate(target, PROMPT, { ...common, ...options });
  drafted += stats.draftedTokens;
  return tokens;
}
let drafted = 0;

/** The same drafters for all seeds: what they keep from one text must not show in another. */
async function check(drafters: readonly Drafter[]): Promise<void> {
  drafted = 0;
  const greedy = await textOf({ drafter: none() });
  for (const drafter of drafters)
    for (const verifier of [undefined, rejection, traversal])
      expect({ drafter: drafter.name, tokens: await textOf({ drafter, verifier }) }).toEqual({
        drafter: drafter.name,
        tokens: greedy,
      });
  for (const seed of SEEDS) {
    const settings = { temperature: 0.7 + (seed % 3) / 4, seed };
    const plain = await textOf({ ...settings, drafter: none() });
    const drafter = drafters[seed % drafters.length];
    expect({ drafter: drafter.name, seed, tokens: await textOf({ ...settings, drafter }) }).toEqual(
      { drafter: drafter.name, seed, tokens: plain },
    );
  }
  expect(drafted).toBeGreaterThan(200);
  for (const drafter of drafters) drafter.dispose?.();
}

/** Conversations: each text goes on with the next, in one session, up to the end of the context. */
async function converse(drafter: Drafter): Promise<readonly number[]> {
  using session = new Session(model, { taps: drafter.taps });
  const counts: number[] = [];
  let text = [...PROMPT];
  for (const turn of [1, 2, 3, 4]) {
    const options = { session, drafter, draftLength: 6, ignoreEos: true } as const;
    const limit = turn < 4 ? { maxTokens: 12 } : {};
    const target = { model, tokenizer: spelled };
    const { tokens, stats } = await generate(target, text, { ...options, ...limit });
    const plain = await generate(target, text, { ignoreEos: true, ...limit });
    expect({ drafter: drafter.name, turn, tokens }).toEqual({
      drafter: drafter.name,
      turn,
      tokens: plain.tokens,
    });
    counts.push(stats.draftedTokens);
    text = [...text, ...tokens, 2, 11].slice(0, 60);
  }
  drafter.dispose?.();
  return counts;
}

describe('goes on drafting when a session goes on, up to the end of the context:', () => {
  it('a draft model, in every shape', async () => {
    for (const shape of shapes())
      expect(Math.min(...(await converse(draftModel(draft, shape))))).toBeGreaterThan(5);
  });

  it('n-grams and suffixes, chains and trees', async () => {
    for (const drafter of [
      ngram(),
      ngram({ branches: 3 }),
      suffix(),
      suffix({ tree: true, factor: 2, offset: 2 }),
    ])
      expect(Math.min(...(await converse(drafter)))).toBeGreaterThan(0);
  });

  it.each(Object.keys(ALGORITHMS))('a head of %s, in every shape', async (algorithm) => {
    using head: Speculator = await randomHead(algorithm, model, { seed: 3, dtype: 'f32' });
    for (const shape of shapes())
      expect(Math.min(...(await converse(head.drafter(shape))))).toBeGreaterThan(5);
  });
});

describe('leaves the text of the target as it is:', () => {
  it('a drafter that needs no model', async () => {
    const predicted = [33, 9, 1, 5, 9, 33, 9, 5, 9, 33];
    await check([
      ngram(),
      ngram({ branches: 3 }),
      suffix(),
      suffix({ tree: true, factor: 2, offset: 2 }),
      prediction({ tokens: predicted }),
    ]);
  });

  it('a draft model', () => check(shapes().map((shape) => draftModel(draft, shape))));

  it('some layers of the target', () =>
    check(shapes().map((shape) => layerSkip(model, { layers: [0, 1, 2, 6, 7], ...shape }))));

  it.each(Object.keys(ALGORITHMS))('a head of %s', async (algorithm) => {
    using head: Speculator = await randomHead(algorithm, model, { seed: 3, dtype: 'f32' });
    await check(shapes().map((shape) => head.drafter(shape)));
  });
});
