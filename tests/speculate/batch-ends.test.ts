// How texts of a batch end, wait and get in each other's way: nothing hangs, and every fault is told to whoever made it.
import { getEventListeners } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomHead } from '../../bench/heads.ts';
import { createBatch, generateBatch } from '../../src/speculate/batch.ts';
import type { Drafter } from '../../src/speculate/drafter.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { createGate } from '../../src/speculate/gate.ts';
import { generate, type Target } from '../../src/speculate/generate.ts';
import { Session } from '../../src/speculate/session.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { loadTiny } from '../models/fixtures.ts';
import { spelled, tinyTarget } from './fixtures.ts';

const PROMPTS = [[1, 5, 9, 5, 9, 5], [7], [2, 60, 4]];
const OPTIONS = { maxTokens: 20, ignoreEos: true } as const;

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

/** A drafter that takes its time, and what it waits for. */
function slow(): { readonly drafter: Drafter; go(): void } {
  let go = () => {};
  const waited = new Promise<void>((resolve) => {
    go = resolve;
  });
  const drafter: Drafter = {
    name: 'slow',
    async draft() {
      await waited;
      return { tokens: [] };
    },
  };
  return { drafter, go: () => go() };
}

describe('one draft model for all texts', () => {
  it.each([0, 1])(
    'drafts for each of them as if it were alone, at temperature %i',
    async (temperature) => {
      const common = { ...OPTIONS, temperature, verifier: rejection, draftLength: 4 };
      const alone = [];
      for (const prompt of PROMPTS) {
        const drafter = draftModel(target.model);
        alone.push((await generate(target, prompt, { ...common, drafter })).tokens);
        drafter.dispose?.();
      }
      const drafter = draftModel(target.model);
      const together = await generateBatch(target, PROMPTS, { ...common, drafter });
      expect(together.map(({ tokens }) => tokens)).toEqual(alone);
      // It is the target itself.
      for (const { stats } of together) expect(stats.acceptedTokens).toBe(stats.draftedTokens);
      drafter.dispose?.();
    },
  );

  it('is refused where its session is one of the batch, or where it is a head', async () => {
    using batch = createBatch(target);
    const drafter = draftModel(draft.model, { session: batch.session(draft.model) });
    const texts = PROMPTS.map((prompt) =>
      batch.generate(prompt, { ...OPTIONS, drafter, draftLength: 3 }),
    );
    const ends = await Promise.allSettled(texts);
    const reasons = ends.flatMap((end) => (end.status === 'rejected' ? [String(end.reason)] : []));
    expect(reasons.length).toBeGreaterThan(0);
    for (const reason of reasons)
      expect(reason).toContain('expected one text at a time in a session of a batch');

    const model = await loadTiny('llama-8l', { contextLength: 64 });
    using head = await randomHead('eagle3', model, { seed: 1, dtype: 'f32' });
    const shared = head.drafter();
    const heads = PROMPTS.map((prompt) =>
      generate({ model, tokenizer: spelled }, prompt, {
        ...OPTIONS,
        drafter: shared,
        draftLength: 3,
      }),
    );
    const found = await Promise.allSettled(heads);
    expect(
      found.some(
        (end) =>
          end.status === 'rejected' && String(end.reason).includes('expected one text at a time'),
      ),
    ).toBe(true);
    shared.dispose?.();
    model.dispose();
  });
});

describe('a batch', () => {
  it('lets a text that waits for others be aborted, and disposes with texts that wait', async () => {
    const batch = createBatch(target);
    const neighbour = slow();
    const busy = batch.generate(PROMPTS[0], {
      ...OPTIONS,
      drafter: neighbour.drafter,
      draftLength: 2,
    });
    const controller = new AbortController();
    const { signal } = controller;
    const aborted = batch.generate(PROMPTS[1], { ...OPTIONS, signal });
    const waiting = batch.generate(PROMPTS[2], OPTIONS);
    await new Promise((done) => setTimeout(done, 20));
    controller.abort(new Error('enough'));
    // The neighbour still drafts.
    await expect(aborted).rejects.toThrow('enough');
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    batch.dispose();
    await expect(waiting).rejects.toThrow('disposed');
    neighbour.go();
    await expect(busy).rejects.toThrow('disposed');
  });

  it('does not let a short text overtake a long one', async () => {
    using batch = createBatch(target, { slots: 340 });
    const [first, long, short] = [
      batch.generate(PROMPTS[0], { ...OPTIONS, maxTokens: 60 }),
      batch.generate(PROMPTS[1], { ...OPTIONS, maxTokens: 90 }),
      batch.generate(PROMPTS[1], { ...OPTIONS, maxTokens: 1 }),
    ];
    // There would be room for the short one.
    expect([batch.running, batch.waiting]).toEqual([1, 2]);
    const order: string[] = [];
    const note = (name: string) => () => order.push(name);
    await Promise.all([
      first.then(note('first')),
      long.then(note('long')),
      short.then(note('short')),
    ]);
    expect(order[0]).toBe('first');
  });

  it('ends texts that wait for room when nobody listens, or when they were aborted before', async () => {
    using batch = createBatch(target, { slots: 174 });
    const running = batch.generate(PROMPTS[0], OPTIONS);
    const left = batch.generate(PROMPTS[1], OPTIONS);
    const iterator = left[Symbol.asyncIterator]();
    const pending = iterator.next();
    await iterator.return?.();
    expect(await pending).toEqual({ done: true, value: undefined });
    expect((await left).tokens).toEqual([]);
    const signal = AbortSignal.abort(new Error('never mind'));
    await expect(batch.generate(PROMPTS[2], { ...OPTIONS, signal })).rejects.toThrow('never mind');
    expect(batch.waiting).toBe(0);
    expect((await running).tokens).toHaveLength(20);
  });

  it('answers every question for a token, and tells an error once', async () => {
    using batch = createBatch(target);
    const iterator = batch
      .generate(PROMPTS[0], { ...OPTIONS, maxTokens: 2 })
      [Symbol.asyncIterator]();
    const answers = await Promise.all([1, 2, 3, 4].map(() => iterator.next()));
    expect(answers.map(({ done }) => done)).toEqual([false, false, true, true]);
    const broken: Drafter = {
      name: 'broken',
      draft() {
        throw new Error('no idea');
      },
    };
    const failing = batch
      .generate(PROMPTS[0], { ...OPTIONS, drafter: broken, draftLength: 1 })
      [Symbol.asyncIterator]();
    await expect(failing.next()).rejects.toThrow('no idea');
    expect(await failing.next()).toEqual({ done: true, value: undefined });
  });

  it('has room for drafts as long as drafters are disposed, also of the target itself', async () => {
    using batch = createBatch(target, { slots: 200 });
    for (let text = 0; text < 12; text++) {
      const drafter = draftModel(target.model, { session: batch.session(target.model) });
      const { tokens } = await batch.generate(PROMPTS[text % 3], {
        ...OPTIONS,
        drafter,
        draftLength: 3,
      });
      expect(tokens).toHaveLength(20);
      drafter.dispose?.();
    }
  });

  it('has room for a text of the whole context by default', async () => {
    const { model } = target;
    const small = await tinyTarget('llama', { contextLength: 20 });
    using batch = createBatch(small);
    expect((await batch.generate([1], { ignoreEos: true })).tokens).toHaveLength(19);
    small.model.dispose();
    expect(model.contextLength).toBeGreaterThan(20);
  });
});

describe('a gate', () => {
  it('lets drafts go before the cache that judges them', async () => {
    const caches = {
      target: target.model.createCache({ slots: 40 }),
      draft: draft.model.createCache({ slots: 40 }),
    };
    const gate = createGate(new Set([caches.target]));
    const order: string[] = [];
    const watched = (name: 'target' | 'draft', of: Target) => {
      gate.enter();
      const { forward, company } = gate.seat({
        ...of.model,
        forward(cache, segments, options) {
          order.push(name);
          return of.model.forward(cache, segments, options);
        },
      });
      return new Session(of.model, { cache: caches[name], gate: { forward, company: company! } });
    };
    const [judge, drafter] = [watched('target', target), watched('draft', draft)];
    await Promise.all(
      [judge, drafter].map(async (session) => {
        await session.feed([1, 2, 3]);
        gate.leave();
      }),
    );
    expect(order).toEqual(['draft', 'target']);
    for (const cache of Object.values(caches)) cache.dispose();
  });
});

describe('a prompt of token ids', () => {
  it('is refused where one is none', () => {
    for (const wrong of [-1, 1.5])
      expect(() => generate(target, [1, wrong])).toThrow(`expected token ids from 0, got ${wrong}`);
  });
});
