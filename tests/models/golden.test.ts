// Every fixture on every backend against what transformers computes: all logits, hidden states, 64 greedy tokens.
import { describe, expect, it } from 'vitest';
import type { Decoder } from '../../src/models/decoder.ts';
import { loadModel } from '../../src/models/load.ts';
import type { Cache, Sequence } from '../../src/models/model.ts';
import { argmax, logSoftmaxAt } from '../../src/speculate/sample.ts';
import {
  BACKENDS,
  demoFixtures,
  type GoldenCase,
  sharedFixtures,
  tinyFixtures,
  worstDifference,
} from './fixtures.ts';

/** Also for the 16-bit files: their golden values were made in f32 from the widened weights. */
const TOLERANCE = 1e-4;

async function checkCase(model: Decoder, golden: GoldenCase): Promise<void> {
  const taps = Array.from({ length: model.config.layers + 1 }, (_, state) => state);
  const cache = model.createCache({ taps });
  const sequence = cache.sequence();
  const tokens = golden.input_ids;
  const keep = tokens.map((_, row) => row);
  const { logits, hidden } = await model.forward(cache, [{ sequence, tokens, keep }]);
  const last = tokens.length - 1;
  const expected = new Map((golden.all_logits ?? []).entries());
  if (golden.last_logits) expected.set(last, golden.last_logits);
  for (const [row, values] of expected)
    expect(worstDifference(logits[row], values)).toBeLessThanOrEqual(TOLERANCE);
  for (const [tap, norm] of (golden.hidden_state_l2_last_position ?? []).slice(0, -1).entries()) {
    const { width } = model.config;
    expect(Math.hypot(...hidden[last].subarray(tap * width, (tap + 1) * width))).toBeCloseTo(
      norm,
      3,
    );
  }
  await checkGreedy(model, cache, sequence, logits[last], golden);
  cache.dispose();
}

async function checkGreedy(
  model: Decoder,
  cache: Cache,
  sequence: Sequence,
  first: Float32Array,
  golden: GoldenCase,
): Promise<void> {
  let row = first;
  for (const [index, expected] of (golden.greedy_ids ?? []).entries()) {
    const token = argmax(row);
    expect([index, token]).toEqual([index, expected]);
    const logprob = golden.greedy_logprobs?.[index];
    if (logprob !== undefined)
      expect(Math.abs(logSoftmaxAt(row, token) - logprob)).toBeLessThanOrEqual(TOLERANCE);
    [row] = (await model.forward(cache, [{ sequence, tokens: [token] }])).logits;
  }
}

describe.each(BACKENDS)('$name', ({ executor, open }) => {
  it.each([...tinyFixtures, ...demoFixtures, ...sharedFixtures])(
    'gives the logits, states and greedy tokens of $name',
    async ({ folder, cases }) => {
      const backend = await open();
      const model = await loadModel(folder, { backend });
      for (const golden of cases) await checkCase(model, golden);
      expect(model.report.executor).toBe(executor);
      model.dispose();
      backend.dispose();
    },
    120_000,
  );
});
