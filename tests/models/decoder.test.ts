// The model interface: which rows get logits, hidden states, sequences that share a cache, and what is refused.
import { beforeAll, describe, expect, it } from 'vitest';
import type { Decoder } from '../../src/models/decoder.ts';
import { loadModel } from '../../src/models/load.ts';
import { argmax, logSoftmaxAt } from '../../src/speculate/sample.ts';
import { demoFixtures, loadTiny } from './fixtures.ts';

let model: Decoder;
beforeAll(async () => {
  model = await loadTiny('llama', { contextLength: 32, maxRows: 8 });
});

const TEXT = [3, 36, 1, 17, 5, 5, 22, 9, 60, 4, 41];

describe('a forward', () => {
  it('gives logits for the last token and every drafted row unless told which', async () => {
    const cache = model.createCache();
    const sequence = cache.sequence();
    const { logits } = await model.forward(cache, [
      { sequence, tokens: [1, 2, 3], draft: { tokens: [4, 5] } },
    ]);
    expect(logits).toHaveLength(3);
    const again = cache.sequence();
    const chosen = await model.forward(cache, [
      { sequence: again, tokens: [1, 2, 3], keep: [0, 2] },
    ]);
    expect(chosen.logits).toHaveLength(2);
    expect(chosen.logits[1]).toEqual(logits[0]);
    expect(
      (await model.forward(cache, [{ sequence: cache.sequence(), tokens: [1], keep: [] }])).logits,
    ).toEqual([]);
    cache.dispose();
  });

  it('keeps hidden states with the rows they belong to over several plans', async () => {
    const cache = model.createCache({ taps: [0, 1, 2] });
    const { hidden, logits } = await model.forward(cache, [
      { sequence: cache.sequence(), tokens: TEXT, keep: [0, 7, 8, 10] },
    ]);
    expect(hidden.map((state) => state.length)).toEqual(Array(4).fill(3 * model.config.width));
    const one = model.createCache({ taps: [1] });
    const last = await model.forward(one, [{ sequence: one.sequence(), tokens: TEXT }]);
    const { width } = model.config;
    expect(hidden[3].slice(width, 2 * width)).toEqual(last.hidden[0]);
    expect(logits[3]).toEqual(last.logits[0]);
    cache.dispose();
    one.dispose();
  });

  it('chooses the most probable token itself with a cache of argmax, and taps as ever', async () => {
    const [all, one] = [{}, { argmax: true }].map((options) =>
      model.createCache({ taps: [1], ...options }),
    );
    expect([all.argmax, one.argmax]).toEqual([false, true]);
    const segment = { tokens: TEXT, draft: { tokens: [7, 8] } };
    const whole = await model.forward(all, [{ sequence: all.sequence(), ...segment }]);
    const chosen = await model.forward(one, [{ sequence: one.sequence(), ...segment }]);
    expect(chosen.logits).toHaveLength(3);
    expect(chosen.hidden).toEqual(whole.hidden);
    for (const [row, logits] of whole.logits.entries()) {
      const best = argmax(logits);
      const found = chosen.logits[row];
      expect(found).toHaveLength(logits.length);
      expect([...found.keys()].filter((token) => found[token] > Number.NEGATIVE_INFINITY)).toEqual([
        best,
      ]);
      expect(found[best]).toBeCloseTo(logSoftmaxAt(logits, best), 5);
    }
    all.dispose();
    one.dispose();
  });

  it('leaves no row behind when it does not fit', async () => {
    const cache = model.createCache({ slots: 10 });
    const [first, second] = [cache.sequence(), cache.sequence()];
    await model.forward(cache, [{ sequence: first, tokens: [1, 2, 3] }]);
    const calls = [
      { sequence: first, tokens: [4, 5, 6] },
      { sequence: second, tokens: TEXT },
    ];
    await expect(model.forward(cache, calls)).rejects.toThrow(
      'cache: expected 11 free slots, got 4 of 10',
    );
    expect([first.length, second.length, cache.freeSlots]).toEqual([3, 0, 7]);
    cache.dispose();
  });

  it.each([
    [{ tokens: [64] }, 'forward: expected token ids from 0 to 63, got 64'],
    [{ tokens: [1.5] }, 'forward: expected token ids from 0 to 63, got 1.5'],
    [{ tokens: Array(33).fill(1) }, 'forward: expected at most 32 positions, got 33'],
    [{ tokens: [1], keep: [1] }, 'forward: keep: expected rows from 0 to 0, got 1'],
    [
      { tokens: [1], draft: { tokens: [2, 3], parents: [-1, 1] } },
      'expected the parent of draft 1 from -1 to 0, got 1',
    ],
    [
      { tokens: [1], draft: { tokens: [2, 3], parents: [-1] } },
      'forward: expected 2 parents, got 1',
    ],
  ])('refuses %j', async (segment, message) => {
    const cache = model.createCache();
    await expect(
      model.forward(cache, [{ sequence: cache.sequence(), ...segment }]),
    ).rejects.toThrow(message);
    expect(cache.freeSlots).toBe(cache.slots);
    cache.dispose();
  });

  it('refuses caches of another model, sequences of another cache, and one sequence twice', async () => {
    const other = await loadTiny('llama', { contextLength: 32 });
    const [cache, foreign] = [model.createCache(), other.createCache()];
    const [sequence, elsewhere] = [cache.sequence(), foreign.sequence()];
    await expect(other.forward(cache, [{ sequence, tokens: [1] }])).rejects.toThrow(
      'expected a cache of this model',
    );
    expect(() => other.trace(cache)).toThrow('expected a cache of this model');
    await expect(model.forward(cache, [{ sequence: elsewhere, tokens: [1] }])).rejects.toThrow(
      'expected sequences of this cache',
    );
    const twice = [
      { sequence, tokens: [1], draft: { tokens: [2] } },
      { sequence, tokens: [3] },
    ];
    await expect(model.forward(cache, twice)).rejects.toThrow(
      'expected every sequence in one segment, got one in two',
    );
    expect(cache.freeSlots).toBe(cache.slots);
    other.dispose();
    cache.dispose();
  });

  it('forgets drafted rows that an abort kept from being computed', async () => {
    const cache = model.createCache();
    const sequence = cache.sequence();
    await model.forward(cache, [{ sequence, tokens: [1, 2] }]);
    const segment = { sequence, tokens: [], draft: { tokens: [7, 8] } };
    await expect(
      model.forward(cache, [segment], { signal: AbortSignal.abort() }),
    ).rejects.toThrow();
    expect(() => sequence.keep([0])).toThrow('expected a path of drafted rows');
    expect(sequence.length).toBe(2);
    cache.dispose();
  });

  it('takes rows to keep in ascending order only', async () => {
    const cache = model.createCache();
    for (const keep of [
      [2, 0],
      [1, 1],
    ])
      await expect(
        model.forward(cache, [{ sequence: cache.sequence(), tokens: [1, 2, 3], keep }]),
      ).rejects.toThrow('forward: keep: expected rows in ascending order');
    cache.dispose();
  });

  it.each([
    [{ slots: 0 }, 'createCache: slots: expected a whole number from 1, got 0'],
    [{ slots: Number.NaN }, 'createCache: slots: expected a whole number from 1, got NaN'],
    [{ slot: 5 }, 'createCache: expected slots, taps and argmax, got slot'],
  ])('refuses the cache options %j', (options, message) => {
    expect(() => model.createCache(options as { slots?: number })).toThrow(message);
  });

  it('stops between the plans of a long text when a timer aborts it', async () => {
    using long = await loadModel(demoFixtures[0].folder, { contextLength: 512, maxRows: 1 });
    using cache = long.createCache();
    const sequence = cache.sequence();
    const tokens = Array.from({ length: 500 }, (_, index) => index + 3);
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('enough')), 1);
    const forward = long.forward(cache, [{ sequence, tokens }], { signal: controller.signal });
    await expect(forward).rejects.toThrow('enough');
    expect([sequence.length, cache.freeSlots]).toEqual([0, cache.slots]);
  });

  it('refuses a cache that is disposed between the plans of a forward', async () => {
    using long = await loadModel(demoFixtures[0].folder, { contextLength: 512, maxRows: 1 });
    const cache = long.createCache();
    const tokens = Array.from({ length: 500 }, (_, index) => index + 3);
    setTimeout(() => cache.dispose(), 1);
    const forward = long.forward(cache, [{ sequence: cache.sequence(), tokens }]);
    await expect(forward).rejects.toThrow('expected a cache, got a disposed one');
  });

  it('refuses a cache and a model that have been disposed', async () => {
    const other = await loadTiny('llama', { contextLength: 32 });
    const [cache, gone] = [other.createCache(), other.createCache()];
    gone.dispose();
    gone.dispose();
    const forwardOn = (on: typeof cache) =>
      other.forward(on, [{ sequence: on.sequence(), tokens: [1] }]);
    await expect(forwardOn(gone)).rejects.toThrow('expected a cache, got a disposed one');
    other.dispose();
    other.dispose();
    await expect(forwardOn(cache)).rejects.toThrow('expected a model, got a disposed one');
    expect(() => other.createCache()).toThrow('createCache: expected a model, got a disposed one');
  });
});

describe('a sequence', () => {
  it('keeps only paths of the last draft', async () => {
    const cache = model.createCache();
    const sequence = cache.sequence();
    const draft = { tokens: [4, 5, 6], parents: [-1, -1, 0] };
    await model.forward(cache, [{ sequence, tokens: [1], draft }]);
    expect(() => sequence.keep([1, 2])).toThrow(
      'keep: expected a path of drafted rows from the prefix down, got [1, 2]',
    );
    sequence.keep([0, 2]);
    expect(sequence.length).toBe(3);
    expect(cache.slots - cache.freeSlots).toBe(3);
    expect(() => sequence.keep([0])).toThrow('keep: expected a path');
    expect(() => sequence.truncate(4)).toThrow('truncate: expected a length from 0 to 3, got 4');
    sequence.free();
    expect(cache.freeSlots).toBe(cache.slots);
    cache.dispose();
  });
});
