// What the rows of a block see, by hand: every place the text before it and every other; in layers with a window as much of the
// text as that has, counted from the first place.
import { describe, expect, it } from 'vitest';
import { SlotPool, SlotSequence } from '../../src/models/cache.ts';
import type { Segment } from '../../src/models/model.ts';
import { type BlockWindows, createRowBuffers, fillRows, rowsOf } from '../../src/models/rows.ts';
import { loadTiny } from './fixtures.ts';

const [SLOTS, ROWS] = [24, 16];

/** A sequence of so many positions, after another one has taken and given back slots: they lie in no order. */
function sequenceOf(pool: SlotPool, length: number): SlotSequence {
  const other = new SlotSequence(pool);
  other.extend(3, []);
  const sequence = new SlotSequence(pool);
  sequence.extend(Math.min(length, 2), []);
  other.free();
  sequence.extend(length - Math.min(length, 2), []);
  return sequence;
}

/** Slots that every row sees in layers without a window, and in those of each window. */
function sightOf(segments: readonly Segment[], windows: readonly number[], how?: BlockWindows) {
  const buffers = createRowBuffers(ROWS, SLOTS, windows);
  const rows = rowsOf(segments, SLOTS, how);
  const inputs: Record<string, Int32Array> = fillRows(buffers, rows).inputs;
  const lists = (suffix: string) =>
    rows.map((_, row) => {
      const start = inputs[`starts${suffix}`][row];
      return [...inputs['visible'].subarray(start, start + inputs[`counts${suffix}`][row])];
    });
  return {
    slots: [...inputs['slots']],
    positions: [...inputs['positions']],
    full: lists(''),
    within: windows.map((window) => lists(`${window}`)),
  };
}

describe('the rows of a block', () => {
  const block = { tokens: [1, 0, 0], mutual: true };

  it('see three of the text and each other, and by a window of 2 two of it and those up to their own', () => {
    const pool = new SlotPool(SLOTS);
    const sequence = sequenceOf(pool, 3);
    const [x0, x1, x2] = sequence.slots;
    expect([x0, x1, x2]).not.toEqual([x0, x0 + 1, x0 + 2]);
    const segment = { sequence, tokens: [], draft: block };
    const { slots, positions, full, within } = sightOf([segment], [2]);
    const [a, b, c] = slots;
    expect(positions).toEqual([3, 4, 5]);
    expect(full).toEqual(Array(3).fill([x0, x1, x2, a, b, c]));
    expect(within).toEqual([
      [
        [x1, x2, a],
        [x1, x2, a, b],
        [x1, x2, a, b, c],
      ],
    ]);
  });

  it('see all of the block by a window that is mutual', () => {
    const sequence = sequenceOf(new SlotPool(SLOTS), 3);
    const [, x1, x2] = sequence.slots;
    const segment = { sequence, tokens: [], draft: block };
    const { slots, within } = sightOf([segment], [2], 'mutual');
    expect(within).toEqual([Array(3).fill([x1, x2, ...slots])]);
  });

  it('see by windows of several lengths what they have of the text, which grows in the same call, beside another one', () => {
    const pool = new SlotPool(SLOTS);
    const other = sequenceOf(pool, 4);
    const sequence = sequenceOf(pool, 2);
    const { slots, full, within } = sightOf(
      [
        { sequence: other, tokens: [5] },
        { sequence, tokens: [8, 9], draft: block },
      ],
      [1, 3, 9],
    );
    const text = sequence.slots;
    const drafted = slots.slice(3);
    const upTo = (length: number, from: number) => text.slice(Math.max(0, from), length);
    expect(full).toEqual([
      other.slots,
      text.slice(0, 3),
      text,
      ...drafted.map(() => [...text, ...drafted]),
    ]);
    for (const [at, window] of [1, 3, 9].entries())
      expect(within[at]).toEqual([
        other.slots.slice(-window),
        upTo(3, 3 - window),
        upTo(4, 4 - window),
        ...drafted.map((_, place) => [...upTo(4, 4 - window), ...drafted.slice(0, place + 1)]),
      ]);
  });

  it('are refused by a model whose windows are counted from every row', async () => {
    const model = await loadTiny('mistral-swa8');
    const cache = model.createCache();
    await expect(
      model.forward(cache, [{ sequence: cache.sequence(), tokens: [1, 2], draft: block }]),
    ).rejects.toThrow(
      'forward: expected layers of full attention with a draft that is mutual, got windows of 8',
    );
    model.dispose();
  });
});
