// Columns of a matrix that is read in pieces.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { columns } from '../../../src/speculate/speculators/research/rows.ts';
import { partsBytes, readParts, tensorInMemory } from '../../../src/tensor/parts.ts';

describe('the first columns of a matrix', () => {
  it('are the same bytes wherever reading begins and ends', async () => {
    const size = fc.integer({ min: 1, max: 7 });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    await fc.assert(
      fc.asyncProperty(size, size, share, share, share, async (rows, width, kept, from, to) => {
        const count = Math.max(1, Math.floor(kept * width));
        const data = Uint16Array.from({ length: rows * width }, (_, index) => 257 * index + 1);
        const shape = [rows, width];
        const cut = columns(tensorInMemory({ name: 'fc', dtype: 'BF16', shape, data }), count);
        const all = new Uint8Array(
          Uint16Array.from(data.filter((_, index) => index % width < count)).buffer,
        );
        expect(cut.shape).toEqual([rows, count]);
        expect(partsBytes(cut)).toBe(all.length);
        const [first, last] = [from, to]
          .map((at) => Math.floor(at * all.length))
          .sort((a, b) => a - b);
        const found = new Uint8Array(last - first);
        await readParts(cut, first, found);
        expect(found).toEqual(all.slice(first, last));
      }),
      { seed: 1 },
    );
  });
});
