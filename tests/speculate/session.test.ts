// A session holds exactly a prefix of its text, however it came to be fed.
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Decoder } from '../../src/models/decoder.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import { Session } from '../../src/speculate/session.ts';
import { loadTiny } from '../models/fixtures.ts';
import { logitsWithoutCache } from './fixtures.ts';

let model: Decoder;
beforeAll(async () => {
  model = await loadTiny('llama', { contextLength: 64, maxRows: 16 });
});

const token = fc.integer({ min: 0, max: 63 });

describe('a session', () => {
  it('ends in the same state whatever the split of the text, detours and drafts on the way', async () => {
    const feed = fc.record({
      keep: fc.integer({ min: 0, max: 24 }),
      detour: fc.array(token, { maxLength: 5 }),
      draft: fc.array(token, { maxLength: 4 }),
      commit: fc.integer({ min: 0, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(token, { minLength: 1, maxLength: 24 }),
        fc.array(feed, { maxLength: 6 }),
        async (text, feeds) => {
          using session = new Session(model);
          for (const { keep, detour, draft, commit } of feeds) {
            const tokens = [...text.slice(0, keep), ...detour];
            if (tokens.length === 0) continue;
            const fed = await session.feed(tokens, { tokens: draft.map(pointDraw) });
            expect(fed.logits).toHaveLength(1 + draft.length);
            expect(session.cachedTokens).toEqual(tokens);
            const path = draft.map((_, node) => node).slice(0, commit);
            session.commit(fed, path);
            expect(session.cachedTokens).toEqual([...tokens, ...draft.slice(0, commit)]);
          }
          const { logits } = await session.feed(text);
          expect(session.cachedTokens).toEqual(text);
          expect(session.cache.slots - session.cache.freeSlots).toBe(text.length);
          expect(logits[0]).toEqual(await logitsWithoutCache(model, text));
        },
      ),
      { numRuns: 60, seed: 20_261 },
    );
  });

  it('computes only what is not cached', async () => {
    using session = new Session(model);
    expect((await session.feed([1, 2, 3, 4])).computedRows).toBe(4);
    expect((await session.feed([1, 2, 3, 4, 5, 6])).computedRows).toBe(2);
    expect((await session.feed([1, 2, 3, 4, 5, 6])).computedRows).toBe(1);
    expect((await session.feed([1, 2, 9])).computedRows).toBe(1);
    expect(session.cachedTokens).toEqual([1, 2, 9]);
  });

  it('gives the hidden states of every row it computed when the cache has taps', async () => {
    using session = new Session(model, { taps: [0, 2] });
    const { hidden, logits } = await session.feed([1, 2, 3], { tokens: [pointDraw(4)] });
    expect(hidden).toHaveLength(4);
    expect(hidden[0]).toHaveLength(2 * model.config.width);
    expect(logits).toHaveLength(2);
    expect(logits[1]).toEqual(await logitsWithoutCache(model, [1, 2, 3, 4]));
  });

  it('gives its slots back to a shared cache', async () => {
    const cache = model.createCache({ slots: 24 });
    const first = new Session(model, { cache });
    const second = new Session(model, { cache });
    await first.feed([1, 2, 3]);
    await second.feed([1, 2, 3, 4]);
    expect(cache.freeSlots).toBe(17);
    first.dispose();
    expect(cache.freeSlots).toBe(20);
    expect((await second.feed([1, 2, 3, 4, 5])).logits[0]).toEqual(
      await logitsWithoutCache(model, [1, 2, 3, 4, 5]),
    );
    cache.dispose();
  });

  it('is as it was when a feed does not fit or is aborted', async () => {
    using session = new Session(model);
    await session.feed([1, 2, 3]);
    await expect(
      session.feed(Array.from({ length: 65 }, (_, index) => (index < 3 ? index + 1 : 9))),
    ).rejects.toThrow('forward: expected at most 64 positions, got 65');
    expect(session.cachedTokens).toEqual([1, 2, 3]);
    const reason = new Error('enough');
    await expect(
      session.feed([1, 2, 3, 4], undefined, { signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
    expect(session.cachedTokens).toEqual([1, 2, 3]);
    expect(session.cache.slots - session.cache.freeSlots).toBe(3);
    expect((await session.feed([1, 2, 3, 4])).logits[0]).toEqual(
      await logitsWithoutCache(model, [1, 2, 3, 4]),
    );
    await expect(session.feed([])).rejects.toThrow('feed: expected at least one token, got none');
  });

  it('takes feeds in turns and ignores a commit after another feed', async () => {
    using session = new Session(model);
    const draft = { tokens: [4, 5].map(pointDraw) };
    const [first, second] = await Promise.all([
      session.feed([1, 2, 3], draft),
      session.feed([1, 2, 9, 9], draft),
    ]);
    expect(first.logits[2]).toEqual(await logitsWithoutCache(model, [1, 2, 3, 4, 5]));
    expect(second.logits[2]).toEqual(await logitsWithoutCache(model, [1, 2, 9, 9, 4, 5]));
    session.commit(first, [0]);
    expect(session.cachedTokens).toEqual([1, 2, 9, 9]);
    session.commit(second, [0]);
    expect(session.cachedTokens).toEqual([1, 2, 9, 9, 4]);
    session.commit(second, [1]);
    expect(session.cachedTokens).toEqual([1, 2, 9, 9, 4]);
  });

  it('refuses to feed once it is disposed', async () => {
    const session = new Session(model);
    session.dispose();
    session.dispose();
    await expect(session.feed([1])).rejects.toThrow('expected a session, got a disposed one');
  });
});
