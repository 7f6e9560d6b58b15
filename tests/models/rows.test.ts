// A row of a forward is the same bits alone and in company: any number of rows per call, other sequences beside it,
// drafted rows after it, other slots under it, and after a rollback. Compared with one row at a time.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/kernels/backend.ts';
import type { Decoder } from '../../src/models/decoder.ts';
import type { Cache, Segment } from '../../src/models/model.ts';
import { BACKENDS, loadTiny } from './fixtures.ts';

const SIZES = [1, 2, 3, 5, 8, 16] as const;
const TEXT = [3, 36, 1, 17, 5, 5, 22, 9, 60, 4, 41, 8, 2, 2, 33, 7, 19, 50, 11, 6, 29, 13];
const OTHER = [30, 2, 2, 11, 36, 1, 55, 20, 21, 22, 23, 44];
const MAX_ROWS = 16;

const allRows = (tokens: readonly number[]) => tokens.map((_, row) => row);

/** Logits of every row, computed one row per forward. */
async function oneByOne(model: Decoder, tokens: readonly number[]): Promise<Float32Array[]> {
  const cache = model.createCache();
  const sequence = cache.sequence();
  const rows: Float32Array[] = [];
  for (const token of tokens)
    rows.push(...(await model.forward(cache, [{ sequence, tokens: [token] }])).logits);
  cache.dispose();
  return rows;
}

async function logitsOf(model: Decoder, cache: Cache, segments: readonly Segment[]) {
  return (await model.forward(cache, segments)).logits;
}

describe.each(BACKENDS)('$name', ({ open }) => {
  describe.each([
    ['llama', 'f32'],
    ['llama', 'bf16'],
    ['llama', 'f16'],
    ['llama-tied-bias', 'f32'],
    ['mistral-swa8', 'f32'],
    ['qwen3', 'bf16'],
  ] as const)('%s in %s', (fixture, dtype) => {
    let backend: Backend;
    let model: Decoder;
    let alone: Float32Array[];
    let otherAlone: Float32Array[];

    beforeAll(async () => {
      backend = await open();
      model = await loadTiny(fixture, { backend, dtype, contextLength: 64, maxRows: MAX_ROWS });
      alone = await oneByOne(model, TEXT);
      otherAlone = await oneByOne(model, OTHER);
    });
    afterAll(() => {
      model.dispose();
      backend.dispose();
    });

    it.each(SIZES)('gives every row the same bits with %i rows per forward', async (size) => {
      const cache = model.createCache();
      const sequence = cache.sequence();
      const together: Float32Array[] = [];
      for (let from = 0; from < TEXT.length; from += size) {
        const tokens = TEXT.slice(from, from + size);
        together.push(
          ...(await logitsOf(model, cache, [{ sequence, tokens, keep: allRows(tokens) }])),
        );
      }
      expect(together).toEqual(alone);
      cache.dispose();
    });

    it('gives every row the same bits beside another sequence, in any slots', async () => {
      const cache = model.createCache();
      const other = cache.sequence();
      const sequence = cache.sequence();
      const rows: Float32Array[] = [];
      const otherRows: Float32Array[] = [];
      for (let at = 0; at < OTHER.length; at += 3) {
        const [mine, theirs] = [TEXT.slice(at, at + 3), OTHER.slice(at, at + 3)];
        const got = await logitsOf(model, cache, [
          { sequence: other, tokens: theirs, keep: allRows(theirs) },
          { sequence, tokens: mine, keep: allRows(mine) },
        ]);
        otherRows.push(...got.slice(0, 3));
        rows.push(...got.slice(3));
      }
      expect(rows).toEqual(alone.slice(0, OTHER.length));
      expect(otherRows).toEqual(otherAlone);
      cache.dispose();
    });

    it('gives drafted rows the bits of plain decoding, in a chain and in a tree', async () => {
      const cache = model.createCache();
      const sequence = cache.sequence();
      const prefix = TEXT.slice(0, 6);
      // Two branches: the text itself (nodes 0, 2, 4) and another continuation (1, 3).
      const branch = [TEXT[5] + 1, TEXT[6] + 2];
      const draft = {
        tokens: [TEXT[6], branch[0], TEXT[7], branch[1], TEXT[8]],
        parents: [-1, -1, 0, 1, 2],
      };
      const expected = await oneByOne(model, [...prefix, ...branch]);
      const tree = await logitsOf(model, cache, [{ sequence, tokens: prefix, draft }]);
      expect(tree).toEqual([alone[5], alone[6], expected[6], alone[7], expected[7], alone[8]]);
      sequence.keep([0, 2]);
      expect(sequence.length).toBe(8);
      const chain = { tokens: TEXT.slice(8, 12) };
      expect(await logitsOf(model, cache, [{ sequence, tokens: [], draft: chain }])).toEqual(
        alone.slice(8, 12),
      );
      cache.dispose();
    });

    it('gives the same bits after a rollback to any length', async () => {
      const cache = model.createCache();
      const sequence = cache.sequence();
      await logitsOf(model, cache, [{ sequence, tokens: TEXT }]);
      for (const length of [13, 5, 0]) {
        await logitsOf(model, cache, [{ sequence, tokens: OTHER }]);
        sequence.truncate(length);
        const tokens = TEXT.slice(length);
        expect(await logitsOf(model, cache, [{ sequence, tokens, keep: allRows(tokens) }])).toEqual(
          alone.slice(length),
        );
      }
      cache.dispose();
    });
  });
});
