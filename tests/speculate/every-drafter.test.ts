// Every drafter in every shape it has: greedily the tokens of plain decoding, and for 50 seeds of `match` its text.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomHead } from '../../bench/heads.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../src/models/decoder.ts';
import type { Drafter } from '../../src/speculate/drafter.ts';
import { layerSkip } from '../../src/speculate/drafters/layer-skip.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { ngram } from '../../src/speculate/drafters/ngram.ts';
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

const shapes = (): Readonly<Record<string, ShapeOptions>> => ({
  'a chain': {},
  'a chain that ends early': { minProbability: 0.001 },
  'a tree': { branching: [3, 2, 1] },
  'the best tree': { best: { ladder: model.ladder, width: 3 } },
  'a dynamic tree': { dynamic: { expansion: 3, levels: 3, tokens: 8 } },
  paths: { paths: { expansion: [3, 2], kept: 3 } },
});

const write = (options: GenerateOptions) =>
  generate({ model, tokenizer: spelled }, PROMPT, {
    maxTokens: LENGTH,
    ignoreEos: true,
    draftLength: 6,
    ...options,
  });

const sampled = (seed: number) => ({ temperature: (1 + (seed % 4)) / 4, seed });

/** The text of every seed without a drafter, written once. */
const plainTexts = new Map<number, readonly number[]>();
async function plainText(seed: number): Promise<readonly number[]> {
  const known = plainTexts.get(seed);
  if (known !== undefined) return known;
  const { tokens } = await write(sampled(seed));
  plainTexts.set(seed, tokens);
  return tokens;
}

interface Counts {
  readonly drafted: number;
  readonly accepted: number;
}

/** One drafter for all texts: what it keeps from one must not show in another. What it drafted for the seeds. */
async function check(name: string, drafter: Drafter): Promise<Counts> {
  const greedy = (await write({})).tokens;
  for (const verifier of [undefined, rejection, traversal]) {
    const { tokens } = await write({ drafter, verifier });
    expect({ name, verifier: verifier?.name, tokens }).toEqual({
      name,
      verifier: verifier?.name,
      tokens: greedy,
    });
  }
  let drafted = 0;
  let accepted = 0;
  for (const seed of SEEDS) {
    const { tokens, stats } = await write({ ...sampled(seed), drafter });
    expect({ name, seed, tokens }).toEqual({ name, seed, tokens: await plainText(seed) });
    drafted += stats.draftedTokens;
    accepted += stats.acceptedTokens;
  }
  drafter.dispose?.();
  return { drafted, accepted };
}

/** Each of them drafts `least` tokens a text or more, and sometimes well. */
async function checkAll(
  drafters: Readonly<Record<string, Drafter>>,
  least: number,
): Promise<Readonly<Record<string, Counts>>> {
  const found: Record<string, Counts> = {};
  for (const [name, drafter] of Object.entries(drafters)) {
    found[name] = await check(name, drafter);
    expect(found[name].drafted, name).toBeGreaterThan(least * SEEDS.length);
    expect(found[name].accepted, name).toBeGreaterThan(0);
  }
  return found;
}

/** A drafter in every shape; a chain that ends early is one that does. */
async function checkShapes(make: (shape: ShapeOptions) => Drafter): Promise<void> {
  const drafters = Object.entries(shapes()).map(([name, shape]) => [name, make(shape)] as const);
  const found = await checkAll(Object.fromEntries(drafters), 10);
  expect(found['a chain that ends early'].drafted).toBeLessThan(0.9 * found['a chain'].drafted);
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
    for (const shape of Object.values(shapes()))
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
    for (const shape of Object.values(shapes()))
      expect(Math.min(...(await converse(head.drafter(shape))))).toBeGreaterThan(5);
  });
});

describe('leaves the text of the target as it is:', () => {
  it('a drafter that needs no model', async () => {
    // The text of one of the seeds, without its third token.
    const tokens = (await plainText(7)).toSpliced(2, 1);
    const drafters = {
      ngram: ngram(),
      'a tree of ngram': ngram({ branches: 3 }),
      suffix: suffix(),
      'a tree of suffix': suffix({ tree: true, factor: 2, offset: 2 }),
      prediction: prediction({ tokens }),
    };
    await checkAll(drafters, 1);
  });

  it('a draft model', () => checkShapes((shape) => draftModel(draft, shape)));

  it('some layers of the target', () =>
    checkShapes((shape) => layerSkip(model, { layers: [0, 1, 2, 6, 7], ...shape })));

  it.each(Object.keys(ALGORITHMS))('a head of %s', async (algorithm) => {
    using head: Speculator = await randomHead(algorithm, model, { seed: 3, dtype: 'f32' });
    await checkShapes((shape) => head.drafter(shape));
  });

  it('a head that stops where it is not confident', async () => {
    using head = await randomHead('dspark', model, { seed: 3, dtype: 'f32' });
    const drafters = { whole: head.drafter(), confident: head.drafter({ confidence: 0.3 }) };
    const { whole, confident } = await checkAll(drafters, 10);
    expect(confident.drafted).toBeLessThan(0.7 * whole.drafted);
  });
});
