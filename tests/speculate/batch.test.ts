// Many texts at once: each is what it would be alone, whatever the others do, draft or want.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Batch, createBatch, generateBatch } from '../../src/speculate/batch.ts';
import type { Drafter } from '../../src/speculate/drafter.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { ngram } from '../../src/speculate/drafters/ngram.ts';
import { suffix } from '../../src/speculate/drafters/suffix.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import { createGate } from '../../src/speculate/gate.ts';
import { generate, type Target } from '../../src/speculate/generate.ts';
import { Session } from '../../src/speculate/session.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { traversal } from '../../src/speculate/verifiers/traversal.ts';
import { BACKENDS } from '../models/fixtures.ts';
import { randomDrafter, tinyTarget } from './fixtures.ts';
import { vectors } from './laws.ts';

const VOCAB = 64;
const PROMPTS = [
  [1, 5, 9, 5, 9, 5],
  [7],
  [3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3],
  [2, 60],
];

let target: Target;
let draft: Target;
beforeAll(async () => {
  target = await tinyTarget('llama');
  draft = await tinyTarget('llama-mha');
});
afterAll(() => {
  target.model.dispose();
  draft.model.dispose();
});

/** Texts of every kind: what differs between them is what a batch must not mix up. */
function textsOf(batch: Batch | undefined) {
  const session = () => batch && { session: batch.session(draft.model) };
  const common = { ignoreEos: true };
  return [
    { prompt: PROMPTS[0], options: { ...common, maxTokens: 30 } },
    { prompt: PROMPTS[1], options: { ...common, maxTokens: 9, temperature: 1, seed: 4 } },
    {
      prompt: PROMPTS[2],
      options: { ...common, maxTokens: 25, drafter: ngram(), draftLength: 7 },
    },
    {
      prompt: PROMPTS[3],
      options: {
        ...common,
        maxTokens: 40,
        temperature: 0.8,
        seed: 11,
        drafter: draftModel(draft.model, { ...session() }),
        draftLength: 3,
      },
    },
    {
      prompt: PROMPTS[0],
      options: {
        ...common,
        maxTokens: 33,
        temperature: 1.1,
        seed: 2,
        topK: 20,
        repetitionPenalty: 1.2,
        verifier: traversal,
        drafter: draftModel(draft.model, { branching: [2, 2], ...session() }),
        draftLength: 6,
      },
    },
    {
      prompt: PROMPTS[3],
      options: {
        ...common,
        maxTokens: 12,
        temperature: 1,
        verifier: rejection,
        drafter: draftModel(draft.model, { ...session() }),
        draftLength: 5,
      },
    },
    {
      prompt: PROMPTS[1],
      options: { ...common, maxTokens: 20, drafter: randomDrafter(3, VOCAB, pointDraw) },
    },
    { prompt: PROMPTS[2], options: { ...common, maxTokens: 1 } },
  ];
}

async function alone(): Promise<(readonly number[])[]> {
  const found = [];
  for (const { prompt, options } of textsOf(undefined)) {
    found.push((await generate(target, prompt, options)).tokens);
    ('drafter' in options ? options.drafter : undefined)?.dispose?.();
  }
  return found;
}

describe('a batch', () => {
  it('gives every text the tokens that it has alone, with its own options, drafter and length', async () => {
    const expected = await alone();
    const batch = createBatch(target, { slots: 1600 });
    const results = await Promise.all(
      textsOf(batch).map(({ prompt, options }) => batch.generate(prompt, options)),
    );
    expect(results.map(({ tokens }) => tokens)).toEqual(expected);
    expect([batch.running, batch.waiting]).toEqual([0, 0]);
    batch.dispose();
  });

  it('gives them in every order of joining, while others are on their way', async () => {
    const expected = await alone();
    for (let shift = 1; shift < 8; shift += 3) {
      const batch = createBatch(target, { slots: 1600 });
      const texts = textsOf(batch);
      const order = texts.map((_, index) => (index * 3 + shift) % texts.length);
      const running = [];
      for (const index of order) {
        const { prompt, options } = texts[index];
        const generation = batch.generate(prompt, options);
        // The next one joins when this one has spoken.
        await generation[Symbol.asyncIterator]().next();
        running.push(generation);
      }
      const results = await Promise.all(running);
      expect(results.map(({ tokens }) => tokens)).toEqual(order.map((index) => expected[index]));
      batch.dispose();
    }
  });

  it('lets texts share a drafter that copies, in trees as well', async () => {
    const options = { maxTokens: 30, ignoreEos: true, temperature: 0.3, seed: 5, draftLength: 6 };
    const plain = await Promise.all(PROMPTS.map((prompt) => generate(target, prompt, options)));
    for (const drafter of [ngram({ branches: 3 }), suffix({ tree: true, offset: 3 })]) {
      const batch = createBatch(target, { slots: 1600 });
      const results = await Promise.all(
        PROMPTS.map((prompt) => batch.generate(prompt, { ...options, drafter })),
      );
      expect(results.map(({ tokens }) => tokens)).toEqual(plain.map(({ tokens }) => tokens));
      const drafted = results.reduce((sum, { stats }) => sum + stats.draftedTokens, 0);
      expect(drafted).toBeGreaterThan(30);
      batch.dispose();
    }
  });

  it('lets texts wait for room, first come, first served', async () => {
    const expected = await alone();
    const batch = createBatch(target, { slots: 340 });
    const ended: number[] = [];
    const results = textsOf(batch).map(async ({ prompt, options }, index) => {
      const result = await batch.generate(prompt, options);
      ended.push(index);
      return result;
    });
    expect(batch.running).toBe(2);
    expect(batch.waiting).toBe(6);
    const tokens = (await Promise.all(results)).map((result) => result.tokens);
    expect(tokens).toEqual(expected);
    expect(ended.at(-1)).toBeGreaterThan(3);
    batch.dispose();
  });

  it('puts the forwards of all texts together, those of the draft model too', async () => {
    const { model } = target;
    const forward = vi.spyOn(model, 'forward');
    const drafts = vi.spyOn(draft.model, 'forward');
    const batch = createBatch(target);
    const generate = () =>
      batch.generate(PROMPTS[0], {
        maxTokens: 20,
        ignoreEos: true,
        drafter: draftModel(draft.model, { session: batch.session(draft.model) }),
        draftLength: 3,
      });
    await Promise.all([generate(), generate(), generate()]);
    for (const spy of [forward, drafts]) {
      const sizes = spy.mock.calls.map(([, segments]) => segments.length);
      expect(new Set(sizes)).toEqual(new Set([3]));
      spy.mockRestore();
    }
    batch.dispose();
  });

  it('goes on without whoever leaves, is aborted or fails', async () => {
    const [expected] = await alone();
    const batch = createBatch(target, { slots: 800 });
    const options = { maxTokens: 30, ignoreEos: true };
    const whole = batch.generate(PROMPTS[0], options);

    const left = batch.generate(PROMPTS[1], options);
    for await (const _ of left) break;

    const controller = new AbortController();
    const aborted = batch.generate(PROMPTS[2], { ...options, signal: controller.signal });
    await aborted[Symbol.asyncIterator]().next();
    controller.abort(new Error('enough'));

    const broken: Drafter = { name: 'broken', draft: () => ({ tokens: [pointDraw(VOCAB)] }) };
    const failed = batch.generate(PROMPTS[3], { ...options, drafter: broken, draftLength: 1 });

    await expect(aborted).rejects.toThrow('enough');
    await expect(failed).rejects.toThrow('expected token ids from 0 to 63, got 64');
    expect((await left).tokens.length).toBeLessThan(30);
    expect((await whole).tokens).toEqual(expected);
    batch.dispose();
  });

  it('ends a waiting text that is aborted at once', async () => {
    const batch = createBatch(target, { slots: 174 });
    const running = batch.generate(PROMPTS[0], { maxTokens: 30, ignoreEos: true });
    const controller = new AbortController();
    const { signal } = controller;
    const waiting = batch.generate(PROMPTS[0], { maxTokens: 30, signal, onAbort: 'return' });
    expect(batch.waiting).toBe(1);
    controller.abort();
    expect(batch.waiting).toBe(0);
    expect((await waiting).finishReason).toBe('abort');
    expect((await running).tokens).toHaveLength(30);
    batch.dispose();
  });

  it('tells its tokens to whoever listens, also late, and only once', async () => {
    const batch = createBatch(target);
    const generation = batch.generate(PROMPTS[0], { maxTokens: 12, ignoreEos: true });
    const { tokens } = await generation.result;
    const heard: number[] = [];
    for await (const { id } of generation) heard.push(id);
    expect(heard).toEqual(tokens);
    expect(() => generation[Symbol.asyncIterator]()).toThrow('expected one consumer');
    batch.dispose();
  });

  it('fails what is under way when it is disposed, and takes nothing more', async () => {
    const batch = createBatch(target, { slots: 174 });
    const texts = [0, 1].map(() => batch.generate(PROMPTS[0], { maxTokens: 30, ignoreEos: true }));
    batch.dispose();
    batch.dispose();
    for (const text of texts) await expect(text).rejects.toThrow('disposed');
    expect(() => batch.generate(PROMPTS[0])).toThrow('expected a batch, got a disposed one');
    expect(() => batch.session(draft.model)).toThrow('expected a batch, got a disposed one');
  });

  it('names wrong options and texts that can never have room', () => {
    const batch = createBatch(target, { slots: 164 });
    expect(() => batch.generate(PROMPTS[0], { maxTokens: 31 })).toThrow(
      'expected a text of at most 36 tokens in 164 slots, got 37',
    );
    expect(() => batch.generate([])).toThrow('expected a prompt of at least one token');
    const session: object = { session: undefined };
    expect(() => batch.generate(PROMPTS[0], session)).toThrow('expected no session in a batch');
    const drafter = { ...ngram(), taps: [1, 3] };
    expect(() => batch.generate(PROMPTS[0], { drafter, maxTokens: 2 })).toThrow(
      'expected a drafter with taps from 0 to 2, got ngram with [1,3]',
    );
    const unknown: object = { size: 3 };
    expect(() => createBatch(target, unknown)).toThrow('expected slots, got size');
    for (const slots of [0, 1.5])
      expect(() => createBatch(target, { slots })).toThrow(
        `slots: expected a whole number from 1, got ${slots}`,
      );
    batch.dispose();
  });
});

describe.each(BACKENDS.filter(({ name }) => name !== 'reference'))('on $name', ({ open }) => {
  it('texts of a batch have the bits that they have alone', async () => {
    const backend = await open();
    const own = await tinyTarget('llama', { backend });
    const options = [
      { maxTokens: 12, ignoreEos: true, temperature: 1, seed: 3 },
      { maxTokens: 20, ignoreEos: true, drafter: ngram(), draftLength: 5 },
      { maxTokens: 7, ignoreEos: true, temperature: 0.7, seed: 8 },
    ];
    const prompts = PROMPTS.slice(0, 3);
    const plain = [];
    for (const [index, prompt] of prompts.entries()) {
      const logprobs: number[] = [];
      for await (const token of generate(own, prompt, options[index])) logprobs.push(token.logprob);
      plain.push(logprobs);
    }
    const batch = createBatch(own, { slots: 600 });
    const together = await Promise.all(
      prompts.map(async (prompt, index) => {
        const logprobs: number[] = [];
        for await (const token of batch.generate(prompt, options[index]))
          logprobs.push(token.logprob);
        return logprobs;
      }),
    );
    expect(together).toEqual(plain);
    batch.dispose();
    backend.dispose();
  });
});

describe('generateBatch', () => {
  it('gives results in the order of the prompts, with options for each or for all', async () => {
    const same = { maxTokens: 8, ignoreEos: true };
    const expected = await Promise.all(
      PROMPTS.map(async (prompt) => (await generate(target, prompt, same)).tokens),
    );
    const results = await generateBatch(target, PROMPTS, same);
    expect(results.map(({ tokens }) => tokens)).toEqual(expected);
    const each = PROMPTS.map((_, index) => ({ ...same, maxTokens: 1 + index }));
    const apart = await generateBatch(target, PROMPTS, each);
    expect(apart.map(({ tokens }) => tokens)).toEqual(
      expected.map((tokens, index) => tokens.slice(0, 1 + index)),
    );
    await expect(generateBatch(target, PROMPTS, [same])).rejects.toThrow(
      'expected options for 4 prompts, got 1',
    );
  });
});

describe('a gate', () => {
  it('tells every session what its forward was shared with', async () => {
    const { model } = target;
    const cache = model.createCache({ slots: 60 });
    const gate = createGate(new Set([cache]));
    const sessions = [0, 1, 2].map(() => {
      gate.enter();
      return new Session(model, { cache, gate: gate.seat(model) });
    });
    const tokens = [4, 5].map(pointDraw);
    await Promise.all(
      sessions.map(async (session, index) => {
        await session.feed([1, 2, 3], { tokens: tokens.slice(0, index) });
        gate.leave();
      }),
    );
    // One judged row each, and drafts of 0, 1 and 2.
    expect(sessions.map(({ company }) => company)).toEqual([
      { texts: 2, rows: 5 },
      { texts: 2, rows: 4 },
      { texts: 2, rows: 3 },
    ]);
    cache.dispose();
  });
});

describe('ragged acceptance', () => {
  it('has the rows, positions and lengths of vector O', async () => {
    for (const example of vectors.O) {
      const { kv_len_before, drafts, accepted, cu_seqlens, kv_len_after, positions } = example;
      const { model } = target;
      const cache = model.createCache({ slots: 100 });
      const forward = vi.spyOn(model, 'forward');
      const gate = createGate(new Set([cache]));
      const sessions = kv_len_before.map(() => {
        gate.enter();
        return new Session(model, { cache, gate: gate.seat(model) });
      });
      const rounds = await Promise.all(
        sessions.map(async (session, index) => {
          const text = Array.from({ length: kv_len_before[index] + 1 }, (_, at) => at);
          await session.feed(text.slice(0, -1));
          const tokens = Array.from({ length: drafts[index] }, () => pointDraw(9));
          const fed = await session.feed(text, { tokens });
          session.commit(fed, [...tokens.keys()].slice(0, accepted[index]));
          gate.leave();
          return { length: session.cachedTokens.length, last: fed.logits[accepted[index]] };
        }),
      );
      expect(rounds.map(({ length }) => length)).toEqual(kv_len_after);

      expect(forward).toHaveBeenCalledTimes(2);
      const [, segments] = forward.mock.calls[1];
      const rows = segments.map(({ tokens, draft }) => tokens.length + draft!.tokens.length);
      const ends = rows.map((_, index) => rows.slice(0, index + 1).reduce((a, b) => a + b));
      expect([0, ...ends]).toEqual(cu_seqlens);
      const { logits } = await forward.mock.results[1].value;
      expect(logits).toHaveLength(example.total_rows ?? ends[2]);
      // What the last token of each was chosen from.
      if (example.logit_row_of_last_emitted !== undefined)
        expect(rounds.map(({ last }) => logits.indexOf(last))).toEqual(
          example.logit_row_of_last_emitted,
        );
      const places = rows.map((count, index) =>
        Array.from({ length: count }, (_, row) => kv_len_before[index] + row),
      );
      if (positions !== undefined) expect(places).toEqual(positions);
      forward.mockRestore();
      cache.dispose();
    }
  });
});
