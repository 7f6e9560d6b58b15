// Laws from logits: every option alone, their order, and the histories of single rows.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { createProcessor, SamplingOptions } from '../../src/speculate/processors.ts';
import { massOf } from '../../src/speculate/sample.ts';
import { rounded, vectors } from './laws.ts';

type Options = z.input<typeof SamplingOptions>;

/** Probabilities of `logits` under `options`, after `history` of which `promptLength` are prompt. */
function lawOf(
  logits: readonly number[],
  options: Options,
  history: readonly number[] = [],
  promptLength = 0,
): number[] {
  const processor = createProcessor(SamplingOptions.parse(options), promptLength);
  const law = processor(Float32Array.from(logits), history);
  return logits.map((_, token) => massOf(law, token));
}

function message(options: unknown): string {
  const { error } = SamplingOptions.safeParse(options);
  return error === undefined ? '' : z.prettifyError(error);
}

const FOUR = [0.4, 0.3, 0.2, 0.1].map(Math.log);
const renormalised = (row: readonly number[]) => {
  const total = row.reduce((sum, value) => sum + value, 0);
  return rounded(row.map((value) => value / total));
};

describe('the processor', () => {
  it('takes the most probable token by default, ties to the lowest id', () => {
    expect(lawOf([1, 3, 3, 0], {})).toEqual([0, 1, 0, 0]);
  });

  it('gives the laws of vector L', () => {
    const { L } = vectors;
    const options = {
      temperature: L.settings.temperature,
      topK: L.settings.top_k,
      topP: L.settings.top_p,
      minP: L.settings.min_p,
      repetitionPenalty: L.settings.repetition_penalty,
      logitBias: L.settings.logit_bias,
    };
    const p = lawOf(L.target_logits, options, L.history);
    const q = lawOf(L.draft_logits, options, L.history);
    expect(rounded(p)).toEqual(L.p);
    const overlap = (other: readonly number[]) =>
      p.reduce((sum, mass, token) => sum + Math.min(mass, other[token]), 0);
    expect(overlap(q)).toBeCloseTo(L.acceptance, 6);
    // The draft's own law keeps four tokens: its min-p threshold is lower.
    expect(rounded(q)).toEqual(L.q);
    const raw = lawOf(L.draft_logits, { temperature: 1 });
    expect(rounded(raw)).toEqual(L.raw_q.q);
    expect(overlap(raw)).toBeCloseTo(L.raw_q.acceptance, 6);
  });

  it('truncates after the temperature', () => {
    const { L } = vectors;
    const options = {
      temperature: 2,
      topK: L.settings.top_k,
      topP: L.settings.top_p,
      minP: L.settings.min_p,
      repetitionPenalty: L.settings.repetition_penalty,
      logitBias: L.settings.logit_bias,
    };
    const p = rounded(lawOf(L.target_logits, options, L.history));
    expect(p).toEqual(L.temperature_2.temp_first);
    expect(p).not.toEqual(L.temperature_2.temp_last);
  });

  it('penalises repetition with the history of each row, as vector Q', () => {
    const { Q } = vectors;
    const options = { temperature: 1, repetitionPenalty: Q.repetition_penalty };
    for (const { history, p } of Q.rows)
      expect(rounded(lawOf(Q.target_logits_every_row, options, history, 1))).toEqual(p);
  });

  it('penalises presence and frequency with the history of each row, as vector Q', () => {
    const { frequency_presence: wanted, rows, target_logits_every_row: logits } = vectors.Q;
    const options = {
      temperature: 1,
      frequencyPenalty: wanted.frequency,
      presencePenalty: wanted.presence,
    };
    for (const { row, penalized_logits } of wanted.rows)
      expect(rounded(lawOf(logits, options, rows[row].history))).toEqual(
        rounded(lawOf(penalized_logits, { temperature: 1 })),
      );
  });

  it('counts generated tokens only for presence and frequency', () => {
    const options = { temperature: 1, presencePenalty: 5, frequencyPenalty: 1 };
    expect(lawOf(FOUR, options, [0, 0, 1], 3)).toEqual(lawOf(FOUR, { temperature: 1 }));
    expect(lawOf(FOUR, options, [0, 1], 1)).toEqual(lawOf(FOUR, options, [2, 2, 1], 2));
  });

  it('multiplies negative logits by the repetition penalty', () => {
    const given = lawOf([-1, 1], { temperature: 1, repetitionPenalty: 2 }, [0, 0, 1]);
    expect(given).toEqual(lawOf([-2, 0.5], { temperature: 1 }));
  });

  it('moves the argmax by penalties and bias at temperature 0', () => {
    expect(lawOf([2, 1.9], { repetitionPenalty: 1.2 }, [0])).toEqual([0, 1]);
    expect(lawOf([2, 1.9], { logitBias: { 1: 0.2 } })).toEqual([0, 1]);
    expect(lawOf([2, 1.9], { logitBias: { 0: Number.NEGATIVE_INFINITY } })).toEqual([0, 1]);
  });

  it('sharpens and flattens by temperature, down to the smallest', () => {
    expect(rounded(lawOf(FOUR, { temperature: 1 }))).toEqual([0.4, 0.3, 0.2, 0.1]);
    expect(rounded(lawOf(FOUR, { temperature: 0.5 }))).toEqual(
      renormalised([0.16, 0.09, 0.04, 0.01]),
    );
    expect(lawOf(FOUR, { temperature: 1e-300 })).toEqual([1, 0, 0, 0]);
  });

  it('keeps the k largest, and what equals the k-th', () => {
    expect(rounded(lawOf(FOUR, { temperature: 1, topK: 2 }))).toEqual(renormalised([4, 3, 0, 0]));
    expect(lawOf([1, 1, 1, 0], { temperature: 1, topK: 2 })[3]).toBe(0);
    expect(rounded(lawOf([1, 1, 1, 0], { temperature: 1, topK: 2 }))).toEqual(
      renormalised([1, 1, 1, 0]),
    );
    expect(lawOf(FOUR, { temperature: 1, topK: 9 })).toEqual(lawOf(FOUR, { temperature: 1 }));
  });

  it('keeps tokens until their mass reaches top-p, at least one, of equals the lower ids', () => {
    const kept = (topP: number, logits: readonly number[] = FOUR) =>
      lawOf(logits, { temperature: 1, topP }).map((mass) => mass > 0);
    expect(kept(0.01)).toEqual([true, false, false, false]);
    expect(kept(0.65)).toEqual([true, true, false, false]);
    expect(kept(0.75)).toEqual([true, true, true, false]);
    expect(kept(0.6, [0, 0, 0, 0])).toEqual([true, true, true, false]);
    expect(kept(0.49, [0, 5, 0, 5])).toEqual([false, true, false, false]);
  });

  it('drops what is below a share of the best', () => {
    expect(rounded(lawOf(FOUR, { temperature: 1, minP: 0.6 }))).toEqual(renormalised([4, 3, 0, 0]));
    expect(lawOf(FOUR, { temperature: 1, minP: 0.999 })).toEqual([1, 0, 0, 0]);
  });

  it('agrees with sorting everything, whatever the options', () => {
    const logits = fc.array(fc.constantFrom(-2, -1, 0, 0.5, 1, 3), { minLength: 1, maxLength: 9 });
    const options = fc.record({
      temperature: fc.constantFrom(0.5, 1, 2),
      topK: fc.nat(6),
      topP: fc.constantFrom(0.03, 0.31, 0.77, 1),
      minP: fc.constantFrom(0, 0.11, 0.9),
    });
    fc.assert(
      fc.property(logits, options, (row, chosen) => {
        const given = lawOf(row, chosen);
        const wanted = sortedLaw(row, chosen);
        for (const [token, mass] of given.entries()) expect(mass).toBeCloseTo(wanted[token], 12);
      }),
      { seed: 1 },
    );
  });

  it('agrees with sorting everything, from flat laws to steep ones', () => {
    // Differences that exp can see, so that there are no ties of weights that are none of logits.
    const row = fc.array(fc.integer({ min: -999, max: 999 }), { minLength: 150, maxLength: 250 });
    const logits = fc
      .tuple(fc.constantFrom(0.01, 1, 5, 30, 300), row)
      .map(([scale, values]) => values.map((value) => Math.fround((scale * value) / 1000)));
    const options = fc.record({
      temperature: fc.constantFrom(0.7, 1),
      topK: fc.constantFrom(0, 1, 5, 60, 149),
      topP: fc.constantFrom(0.03, 0.5, 0.9, 0.999999, 1),
      minP: fc.constant(0),
    });
    fc.assert(
      fc.property(logits, options, (row, chosen) => {
        const given = lawOf(row, chosen);
        const wanted = sortedLaw(
          row.map((value) => value - Math.max(...row)),
          chosen,
        );
        for (const [token, mass] of given.entries()) expect(mass).toBeCloseTo(wanted[token], 12);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it('leaves the logits as they are', () => {
    const logits = Float32Array.of(1, 2, 3);
    const settings = SamplingOptions.parse({ temperature: 2, topK: 1, logitBias: { 0: 9 } });
    createProcessor(settings, 0)(logits, [0]);
    expect([...logits]).toEqual([1, 2, 3]);
  });

  it('names logits that are not numbers, unknown tokens, and a law without tokens', () => {
    const never = Number.NEGATIVE_INFINITY;
    expect(() => lawOf([1, Number.NaN], {})).toThrow(
      'sampling: expected finite logits or -Infinity, got NaN for token 1',
    );
    expect(() => lawOf([Number.POSITIVE_INFINITY], { temperature: 1 })).toThrow('got Infinity');
    expect(() => lawOf([1], { logitBias: { 7: 1 } })).toThrow(
      'sampling: logitBias: expected token ids below 1, got 7',
    );
    expect(() => lawOf([1], { repetitionPenalty: 2 }, [3])).toThrow(
      'sampling: history: expected token ids below 1, got 3',
    );
    expect(() => lawOf([never, never], { temperature: 1 })).toThrow(
      'sampling: expected at least one allowed token, got none',
    );
    expect(lawOf([never, 0], { temperature: 1 })).toEqual([0, 1]);
  });
});

describe('sampling options', () => {
  it('are refused outside their domain, by name', () => {
    for (const [name, value] of Object.entries({
      temperature: -1,
      topK: 1.5,
      topP: 0,
      minP: 1,
      repetitionPenalty: 0,
      presencePenalty: 'x',
      frequencyPenalty: Number.NaN,
      logitBias: { x: 1 },
      topk: 3,
    }))
      expect(message({ [name]: value }), name).toContain(name);
  });

  it('allow a bias of minus infinity, and of no other infinity', () => {
    expect(message({ logitBias: { 3: Number.NEGATIVE_INFINITY } })).toBe('');
    expect(message({ logitBias: { 3: Number.POSITIVE_INFINITY } })).toContain('logitBias');
  });
});

/** The definition: sort, cut, cut, cut, normalise. */
function sortedLaw(
  logits: readonly number[],
  options: { temperature: number; topK: number; topP: number; minP: number },
): number[] {
  const { temperature, topK, topP, minP } = options;
  const weight = (token: number) => Math.exp(logits[token] / temperature);
  let kept = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b);
  if (topK > 0) kept = kept.filter((token) => logits[token] >= logits[kept[topK - 1] ?? token]);
  const total = kept.reduce((sum, token) => sum + weight(token), 0);
  let mass = 0;
  const inMass = kept.filter((token) => {
    const stays = topP === 1 || mass < topP * total;
    mass += weight(token);
    return stays;
  });
  const left = inMass.filter((token) => weight(token) >= minP * weight(kept[0]));
  const rest = left.reduce((sum, token) => sum + weight(token), 0);
  return logits.map((_, token) => (left.includes(token) ? weight(token) / rest : 0));
}
