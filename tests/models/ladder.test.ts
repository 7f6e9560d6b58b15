// What forwards cost by their rows: the estimate from noisy times, and the first measurement of a model.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLadder, measureLadder } from '../../src/models/ladder.ts';
import type { Ladder } from '../../src/models/model.ts';
import { chances, normal } from '../speculate/machines.ts';
import { loadTiny } from './fixtures.ts';

const trueMs = (rows: number) => 2 + 0.7 * (rows - 1);

/** Many forwards of some row counts in turn. */
function feed(
  ladder: Ladder,
  counts: readonly number[],
  runs: number,
  ms: (rows: number) => number,
) {
  for (let run = 0; run < runs; run++) for (const rows of counts) ladder.add(rows, ms(rows));
}

describe('a ladder', () => {
  it('knows nothing before a measurement, and guesses the slope from one', () => {
    const ladder = createLadder();
    expect(ladder.ms(1)).toBeUndefined();
    expect(ladder.points()).toEqual([]);
    ladder.add(4, 1.9);
    expect(ladder.ms(1)).toBeCloseTo(1, 9);
    expect(ladder.ms(8)).toBeGreaterThan(ladder.ms(4)!);
  });

  it('interpolates between points and goes on beyond them', () => {
    const ladder = createLadder();
    for (const rows of [1, 4, 8]) ladder.add(rows, trueMs(rows));
    for (let rows = 1; rows <= 16; rows++) expect(ladder.ms(rows)).toBeCloseTo(trueMs(rows), 9);
  });

  it('never costs less for more rows, whatever was measured', () => {
    const measurement = fc.tuple(fc.integer({ min: 1, max: 16 }), fc.double({ min: 0.1, max: 50 }));
    fc.assert(
      fc.property(fc.array(measurement, { minLength: 1, maxLength: 60 }), (measurements) => {
        const ladder = createLadder();
        for (const [rows, ms] of measurements) ladder.add(rows, ms);
        const curve = Array.from({ length: 20 }, (_, index) => ladder.ms(index + 1)!);
        expect(curve.every((ms) => Number.isFinite(ms) && ms > 0)).toBe(true);
        for (const [index, ms] of curve.entries())
          if (index > 0) expect(ms).toBeGreaterThanOrEqual(curve[index - 1] - 1e-9 * ms);
      }),
      { seed: 1 },
    );
  });

  it('finds the times behind noise and pauses within 8 %', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const chance = chances(seed);
      const ladder = createLadder();
      feed(ladder, [1, 3, 5], 60, (rows) => {
        const pause = chance() < 0.04 ? 8 : 1;
        return trueMs(rows) * pause * Math.exp(0.1 * normal(chance));
      });
      for (const rows of [1, 2, 3, 4, 5])
        expect(
          Math.abs(ladder.ms(rows)! / trueMs(rows) - 1),
          `seed ${seed}, ${rows} rows`,
        ).toBeLessThan(0.08);
    }
  });

  it('forgets the slow runs of code that is not compiled yet', () => {
    const ladder = createLadder();
    for (const factor of [9, 5, 1]) feed(ladder, [1, 4], 1, (rows) => factor * trueMs(rows));
    expect(ladder.ms(1)).toBeCloseTo(trueMs(1), 9);
    expect(ladder.ms(4)).toBeCloseTo(trueMs(4), 9);
  });

  it('takes what is seen of one count for news about all', () => {
    const ladder = createLadder();
    feed(ladder, [1, 4], 10, trueMs);
    feed(ladder, [4], 40, (rows) => trueMs(rows) / 2);
    expect(ladder.ms(4)! / trueMs(4)).toBeLessThan(0.52);
    expect(ladder.ms(1)! / trueMs(1)).toBeLessThan(0.8);
    feed(ladder, [1], 12, (rows) => trueMs(rows) / 2);
    expect(ladder.ms(1)! / trueMs(1)).toBeLessThan(0.55);
  });

  it('ignores a clock that stood still', () => {
    const ladder = createLadder();
    for (const ms of [0, -1, Number.NaN]) ladder.add(1, ms);
    expect(ladder.ms(1)).toBeUndefined();
  });
});

describe('a model', () => {
  it('times its own forwards whose rows all have logits, and no others', async () => {
    const model = await loadTiny('llama', { contextLength: 64, maxRows: 8 });
    const cache = model.createCache();
    const sequence = cache.sequence();
    await model.forward(cache, [{ sequence, tokens: [1, 2, 3] }]);
    expect(model.ladder.points()).toEqual([]);
    await model.forward(cache, [{ sequence, tokens: [4], draft: { tokens: [5, 6] } }]);
    await model.forward(cache, [{ sequence, tokens: [4], draft: { tokens: Array(20).fill(1) } }]);
    expect(model.ladder.points().map(({ rows, samples }) => ({ rows, samples }))).toEqual([
      { rows: 3, samples: 1 },
    ]);
    model.dispose();
  });

  it('is measured once, on rows that leave the cache as it was', async () => {
    const model = await loadTiny('llama', { contextLength: 64, maxRows: 8 });
    const cache = model.createCache();
    const sequence = cache.sequence();
    await model.forward(cache, [{ sequence, tokens: [1, 2, 3] }]);
    const { freeSlots } = cache;
    let now = 0;
    await measureLadder(model, cache, { clock: () => (now += 2) });
    const counted = model.ladder.points().map(({ rows, samples }) => ({ rows, samples }));
    expect(counted).toEqual([1, 2, 4, 8].map((rows) => ({ rows, samples: 2 })));
    expect(cache.freeSlots).toBe(freeSlots);
    await measureLadder(model, cache);
    expect(model.ladder.points().every(({ samples }) => samples === 2)).toBe(true);
    model.dispose();
  });

  it('is measured no longer than its budget, and on no more rows than half of the free ones', async () => {
    const model = await loadTiny('llama', { contextLength: 64, maxRows: 8 });
    let now = 0;
    await measureLadder(model, model.createCache(), { budgetMs: 50, clock: () => (now += 30) });
    expect(model.ladder.points().map(({ rows }) => rows)).toEqual([1, 4]);
    const small = await loadTiny('llama', { contextLength: 64, maxRows: 8 });
    await measureLadder(small, small.createCache({ slots: 5 }));
    expect(small.ladder.points().map(({ rows }) => rows)).toEqual([1, 2]);
    model.dispose();
    small.dispose();
  });
});
