// The random models of the peers bench: weights of a trained model's size, in files that load and compute.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { randomBlocks, randomGguf, SMALL } from '../../bench/peers/random-gguf.ts';
import { BLOCK, BLOCK_BYTES, widenBlocks } from '../../src/kernels/blocks.ts';
import { f16Table } from '../../src/kernels/dtype.ts';
import { reference } from '../../src/kernels/reference/index.ts';
import { load } from '../../src/models/load.ts';

const folder = await mkdtemp(join(tmpdir(), 'foretoken-random-'));
afterAll(() => rm(folder, { recursive: true }));

describe.each(['q8_0', 'q4_0'] as const)('random %s', (dtype) => {
  test.each([2048, 5632])('has mean 0 and variance 1 / %d', (inner) => {
    const blocks = 70_000;
    const chunks = [...randomBlocks(dtype, { blocks, inner, seed: 5 })];
    const values = chunks.flatMap((chunk) => {
      const count = chunk.length / BLOCK_BYTES[dtype];
      const out = new Float32Array(count * BLOCK);
      widenBlocks(chunk, dtype, f16Table(), { from: 0, count }, out);
      return [out];
    });
    const length = values.reduce((sum, part) => sum + part.length, 0);
    expect(length).toBe(blocks * BLOCK);
    let [sum, squares] = [0, 0];
    for (const part of values)
      for (const value of part) {
        sum += value;
        squares += value * value;
      }
    // The mean of 2.2 million values; five standard deviations.
    expect(Math.abs(sum / length)).toBeLessThan(5 / Math.sqrt(inner * length));
    expect((squares / length) * inner).toBeCloseTo(1, 2);
  });

  test('makes a file that loads and whose logits are numbers of normal size', async () => {
    const file = await randomGguf(folder, SMALL, dtype);
    using loaded = await load(file, { backend: reference() });
    const { model } = loaded;
    expect(model.config).toMatchObject({ layers: 2, width: 128, heads: 4, kvHeads: 2, vocab: 512 });
    const cache = model.createCache({ slots: 64 });
    const { logits } = await model.forward(cache, [
      { sequence: cache.sequence(), tokens: [300, 400, 500] },
    ]);
    const size = Math.hypot(...logits[0]) / Math.sqrt(512);
    expect(size).toBeGreaterThan(0.3);
    expect(size).toBeLessThan(3);
  });
});

test('random q8_0 never has the byte −128, which no quantiser gives', () => {
  const found = [...randomBlocks('q8_0', { blocks: 70_000, inner: 64, seed: 3 })].some((chunk) =>
    chunk.some((byte, at) => at % BLOCK_BYTES.q8_0 >= 2 && byte === 128),
  );
  expect(found).toBe(false);
});

test('a file that is there is not made again', async () => {
  const file = await randomGguf(folder, SMALL, 'q8_0');
  await writeFile(file, 'kept');
  expect(await randomGguf(folder, SMALL, 'q8_0')).toBe(file);
  expect(await readFile(file, 'utf8')).toBe('kept');
});
