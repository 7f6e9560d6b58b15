// One golden case against a model: what transformers computed in f32, on any backend, in Node or in a page.
import { expect } from 'vitest';
import type { Decoder } from '../../src/models/decoder.ts';
import type { Cache, Sequence } from '../../src/models/model.ts';
import { argmax, logSoftmaxAt } from '../../src/speculate/sample.ts';

/** One input of a golden file and what transformers computes from it. */
export interface GoldenCase {
  readonly name: string;
  readonly prompt?: string;
  readonly input_ids: readonly number[];
  readonly last_logits?: readonly number[];
  readonly all_logits?: readonly (readonly number[])[];
  readonly greedy_ids?: readonly number[];
  readonly greedy_logprobs?: readonly number[];
  readonly greedy_text?: string;
  readonly hidden_state_l2_last_position?: readonly number[];
}

/** Also for the 16-bit files: their golden values were made in f32 from the widened weights. */
const TOLERANCE = 1e-4;

/** All logits, hidden states and greedy tokens of the case, of these as many as asked for. */
export async function checkCase(
  model: Decoder,
  golden: GoldenCase,
  greedyTokens = Number.POSITIVE_INFINITY,
): Promise<void> {
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
  const greedyIds = golden.greedy_ids?.slice(0, greedyTokens);
  await checkGreedy(model, cache, sequence, logits[last], { ...golden, greedy_ids: greedyIds });
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

/** Largest |a - b|. */
export function worstDifference(a: ArrayLike<number>, b: readonly number[]): number {
  let worst = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  for (const [index, value] of b.entries()) worst = Math.max(worst, Math.abs(value - a[index]));
  return worst;
}
