// Heads in a batch: each gets the states that it wants, whatever others want, and every text is what it would be alone.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { randomHead } from '../../bench/heads.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../src/models/decoder.ts';
import { type Batch, createBatch, generateBatch } from '../../src/speculate/batch.ts';
import type { Drafter } from '../../src/speculate/drafter.ts';
import { ngram } from '../../src/speculate/drafters/ngram.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import { type GenerateResult, generate, type Target } from '../../src/speculate/generate.ts';
import type { GenerateOptions } from '../../src/speculate/options.ts';
import { Session } from '../../src/speculate/session.ts';
import type { Speculator } from '../../src/speculate/speculators/load.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { BACKENDS, loadTiny } from '../models/fixtures.ts';
import { spelled } from './fixtures.ts';

const PROMPT = [1, 5, 9, 33, 9, 5, 33];

let model: Decoder;
let target: Target;
/** Of taps [1, 4, 7], [8] and [8]. */
let heads: readonly Speculator[];
beforeAll(async () => {
  model = await loadTiny('llama-8l', { backend: wasm({ threads: 1 }), contextLength: 64 });
  target = { model, tokenizer: spelled };
  heads = await Promise.all(
    ['eagle3', 'eagle', 'medusa'].map((name) => randomHead(name, model, { seed: 3, dtype: 'f32' })),
  );
});
afterAll(() => {
  for (const head of heads) head.dispose();
  model.dispose();
});

type Text = readonly [prompt: readonly number[], options: GenerateOptions];

const RULES: Readonly<Record<string, GenerateOptions>> = {
  greedy: {},
  match: { temperature: 0.9, seed: 4 },
  rejection: { temperature: 0.9, seed: 5, verifier: rejection },
};

/** A text with each head, one with n-grams and one without a drafter; drafters are new every time. */
function textsOf(rule: GenerateOptions): readonly Text[] {
  const [eagle3, eagle, medusa] = heads;
  const common = { ...rule, ignoreEos: true, draftLength: 4 };
  return [
    [PROMPT, { ...common, maxTokens: 25 }],
    [PROMPT.slice(2), { ...common, maxTokens: 21, drafter: eagle3.drafter() }],
    [[...PROMPT, ...PROMPT], { ...common, maxTokens: 9, drafter: ngram() }],
    [PROMPT.slice(1), { ...common, maxTokens: 16, drafter: eagle.drafter({ branching: [2, 2] }) }],
    [PROMPT, { ...common, maxTokens: 30, drafter: medusa.drafter() }],
  ];
}

/** What the drafts say of the states, too: other states are other drafts. */
const factsOf = ({ tokens, stats: { draftedTokens, acceptedTokens } }: GenerateResult) => ({
  tokens,
  draftedTokens,
  acceptedTokens,
});
type Facts = ReturnType<typeof factsOf>;

async function alone(texts: readonly Text[]): Promise<readonly Facts[]> {
  const found: Facts[] = [];
  for (const [prompt, options] of texts) {
    found.push(factsOf(await generate(target, prompt, options)));
    options.drafter?.dispose?.();
  }
  return found;
}

/** Each joins when the one before has said `said` tokens; in the order of the texts. */
async function together(
  batch: Batch,
  texts: readonly Text[],
  order: readonly number[],
  said: number,
): Promise<readonly Facts[]> {
  const ends: Promise<Facts>[] = [];
  for (const index of order) {
    const [prompt, options] = texts[index];
    const generation = batch.generate(prompt, options);
    const tokens = generation[Symbol.asyncIterator]();
    for (let count = 0; count < said; count++) await tokens.next();
    ends[index] = generation.result.then(factsOf);
  }
  const found = await Promise.all(ends);
  for (const [, { drafter }] of texts) drafter?.dispose?.();
  return found;
}

describe.each(Object.entries(RULES))('heads of a batch, by %s,', (_, rule) => {
  it('draft as they do alone when their texts begin together', async () => {
    const expected = await alone(textsOf(rule));
    const drafted = expected.map(({ draftedTokens }) => draftedTokens);
    expect(Math.min(...drafted.slice(1))).toBeGreaterThan(0);
    using batch = createBatch(target);
    expect(await together(batch, textsOf(rule), [0, 1, 2, 3, 4], 0)).toEqual(expected);
  });

  it('draft so when texts join and leave in any order', async () => {
    const expected = await alone(textsOf(rule));
    for (const order of [
      [0, 1, 2, 3, 4],
      [4, 3, 2, 1, 0],
      [1, 0, 4, 2, 3],
      [3, 1, 0, 2, 4],
    ])
      for (const said of [1, 6]) {
        using batch = createBatch(target);
        const found = await together(batch, textsOf(rule), order, said);
        expect({ order, said, found }).toEqual({ order, said, found: expected });
      }
  });
});

describe('a batch with heads', () => {
  it('has one cache and one forward for all, with the states that any of them wants', async () => {
    const create = vi.spyOn(model, 'createCache');
    const forward = vi.spyOn(model, 'forward');
    const texts = textsOf({}).map(
      ([prompt, options]): Text => [prompt, { ...options, maxTokens: 8, draftLength: 0 }],
    );
    using batch = createBatch(target);
    await together(batch, texts, [0, 1, 2, 3, 4], 0);
    expect(create.mock.calls.map(([options]) => options?.taps)).toEqual([[1, 4, 7, 8]]);
    expect(forward.mock.calls.map(([, segments]) => segments.length)).toEqual(Array(8).fill(5));
    create.mockRestore();
    forward.mockRestore();
  });

  it('moves texts to another cache when a head joins, once, and gives back the one before', async () => {
    const create = vi.spyOn(model, 'createCache');
    const forward = vi.spyOn(model, 'forward');
    using batch = createBatch(target);
    const options = { ignoreEos: true, maxTokens: 40 };
    const plain = batch.generate(PROMPT, options);
    const listener = plain[Symbol.asyncIterator]();
    for (let count = 0; count < 5; count++) await listener.next();
    const { drafter } = textsOf({})[1][1];
    for (let turn = 0; turn < 2; turn++)
      await batch.generate(PROMPT, { ...options, drafter, maxTokens: 6, draftLength: 0 });
    await plain.result;
    expect(create.mock.calls.map(([made]) => made?.taps)).toEqual([[], [1, 4, 7]]);
    const [first, second] = create.mock.results.map(({ value }) => value);
    const caches = forward.mock.calls.map(([cache]) => cache);
    expect(caches.lastIndexOf(first)).toBeLessThan(8);
    expect(caches.filter((cache) => cache === second).length).toBeGreaterThan(20);
    expect([first.disposed, second.disposed]).toEqual([true, false]);
    batch.dispose();
    expect(second.disposed).toBe(true);
    drafter!.dispose?.();
    create.mockRestore();
    forward.mockRestore();
  });

  it('leaves a text its cache while that measures what forwards cost', async () => {
    const fresh = await loadTiny('llama-8l', { contextLength: 64 });
    using head = await randomHead('eagle3', fresh, { seed: 3, dtype: 'f32' });
    const options = { ignoreEos: true, maxTokens: 30 };
    const { tokens } = await generate(target, PROMPT, options);
    using batch = createBatch({ model: fresh, tokenizer: spelled });
    const measuring = batch.generate(PROMPT, { ...options, drafter: ngram() });
    // It begins after the first token, and pauses for 40 ms.
    await measuring[Symbol.asyncIterator]().next();
    const drafter = head.drafter();
    const joined = await batch.generate(PROMPT, { ...options, drafter, draftLength: 3 });
    expect([joined.tokens, (await measuring.result).tokens]).toEqual([tokens, tokens]);
    drafter.dispose?.();
    fresh.dispose();
  });

  it('takes a list of prompts, each with a drafter', async () => {
    const options = { ignoreEos: true, maxTokens: 12, temperature: 0.8 };
    const drafters = heads.map((head) => head.drafter());
    const prompts = [PROMPT, PROMPT.slice(1), PROMPT.slice(3)];
    const found = await generateBatch(
      target,
      prompts,
      drafters.map((drafter) => ({ ...options, drafter })),
    );
    for (const [index, { tokens }] of found.entries())
      expect(tokens).toEqual((await generate(target, prompts[index], options)).tokens);
    for (const drafter of drafters) drafter.dispose?.();
  });

  it('tells a text that there is no room for its states, and goes on with the others', async () => {
    const small: Decoder = {
      ...model,
      createCache(options) {
        if ((options?.taps ?? []).includes(4)) throw new RangeError('no room');
        return model.createCache(options);
      },
    };
    for (const atOnce of [true, false]) {
      using batch = createBatch({ model: small, tokenizer: spelled });
      const texts = textsOf({ temperature: 1, seed: 2 });
      const expected = await alone(textsOf({ temperature: 1, seed: 2 }));
      const found = await Promise.allSettled(
        [0, 1, 3].map(async (index) => {
          const [prompt, options] = texts[index];
          if (index > 0 && !atOnce) await new Promise((done) => setTimeout(done, 5));
          return factsOf(await batch.generate(prompt, options));
        }),
      );
      expect(found).toEqual([
        { status: 'fulfilled', value: expected[0] },
        { status: 'rejected', reason: new RangeError('no room') },
        { status: 'fulfilled', value: expected[3] },
      ]);
      for (const [, { drafter }] of texts) drafter?.dispose?.();
    }
  });
});

describe('a session', () => {
  it('gives each of many heads its own of the states that its cache gives', async () => {
    const taps = Array.from({ length: model.config.layers + 1 }, (_, layer) => layer);
    using session = new Session(model, { taps });
    const texts = textsOf(RULES['rejection']);
    const expected = await alone(textsOf(RULES['rejection']));
    for (const [index, [prompt, options]] of texts.entries())
      expect(factsOf(await generate(target, prompt, { ...options, session }))).toEqual(
        expected[index],
      );
    for (const [, { drafter }] of texts) drafter?.dispose?.();
    using without = new Session(model, { taps: [7, 1] });
    const drafter = heads[0].drafter();
    expect(() => generate(target, PROMPT, { session: without, drafter })).toThrow(
      'generate: expected a session with taps [1,4,7] for drafter eagle3, got [7,1]',
    );
    await expect(session.feed([1, 2], undefined, { taps: [3, 9] })).rejects.toThrow(
      'feed: expected taps of [0,1,2,3,4,5,6,7,8], got [3,9]',
    );
  });
});

describe.each(BACKENDS)('on $name', ({ open }) => {
  /** Drafts nonsense, and keeps what it was given. */
  function keeper(taps: readonly number[]): { drafter: Drafter; readonly kept: Float32Array[] } {
    const kept: Float32Array[] = [];
    const drafter: Drafter = {
      name: 'keeper',
      taps,
      draft({ tokens, maxDepth, hidden = [] }) {
        kept.push(...hidden);
        return { tokens: [tokens.length % 64, 3].slice(0, maxDepth).map(pointDraw) };
      },
    };
    return { drafter, kept };
  }

  it('texts and states have the bits that they have alone', async () => {
    const backend = await open();
    const own = await loadTiny('llama', { backend, contextLength: 48, maxRows: 16 });
    const there = { model: own, tokenizer: spelled };
    const options = { ignoreEos: true, draftLength: 2, maxTokens: 12 };
    const all = [[], [2, 0], [1], [0, 2, 1]];
    const run = async (batch: Batch | undefined) => {
      const found: object[] = [];
      const listen = async (taps: readonly number[], index: number) => {
        const { drafter, kept } = keeper(taps);
        const prompt = PROMPT.slice(index);
        const given = { ...options, ...(taps.length > 0 && { drafter }) };
        const generation = batch?.generate(prompt, given) ?? generate(there, prompt, given);
        const logprobs: number[] = [];
        for await (const { logprob } of generation) {
          logprobs.push(logprob);
          // The next one joins when this one has spoken.
          if (logprobs.length === 2 && batch) joined.push(next());
        }
        found[index] = { logprobs, kept };
      };
      let count = 0;
      const joined: Promise<void>[] = [];
      const next = async () => {
        if (count < all.length) await listen(all[count], count++);
      };
      if (batch) await next();
      else for (const [index, taps] of all.entries()) await listen(taps, index);
      for (let index = 0; index < joined.length; index++) await joined[index];
      return found;
    };
    const expected = await run(undefined);
    using batch = createBatch(there, { slots: 400 });
    expect(await run(batch)).toEqual(expected);
    own.dispose();
    backend.dispose();
  }, 60_000);
});
