// From logits to the law that plain decoding draws from, in the order of transformers: repetition penalty, presence and
// frequency penalties, bias, then temperature, top-k, top-p, min-p, softmax. The same function serves target and draft
// rows, each with its own history, because penalties change from row to row.
import * as z from 'zod';
import { OptionError } from '../kernels/errors.ts';
import type { Law } from './law.ts';
import { argmax, NOTHING } from './sample.ts';

/**
 * Sampling options.
 * - `temperature`: default 0, the most probable token; 1 is the model's own law.
 * - `topK`: default 0 (off); keeps the k largest logits, and all that equal the k-th.
 * - `topP`: default 1 (off); keeps the most probable tokens until their mass reaches it, of equals the lower ids first.
 * - `minP`: default 0 (off); drops tokens below this share of the largest probability.
 * - `repetitionPenalty`: default 1 (off); divides positive and multiplies negative logits of tokens in the text.
 * - `presencePenalty`, `frequencyPenalty`: default 0; subtracted once, or per occurrence, for generated tokens.
 * - `logitBias`: added to logits by token id; -Infinity forbids a token.
 */
export const SamplingOptions = z.strictObject({
  temperature: z.number().min(0).default(0),
  topK: z.int().min(0).default(0),
  topP: z.number().gt(0).max(1).default(1),
  minP: z.number().min(0).lt(1).default(0),
  repetitionPenalty: z.number().gt(0).default(1),
  presencePenalty: z.number().default(0),
  frequencyPenalty: z.number().default(0),
  logitBias: z
    .record(
      z.string().regex(/^\d+$/, 'expected a token id'),
      z.union([z.number(), z.literal(Number.NEGATIVE_INFINITY)]),
    )
    .default({}),
});

/** Checked sampling options with the defaults filled in. */
export type SamplingSettings = z.output<typeof SamplingOptions>;

/** Whether the law is a point at the largest logit, whatever the text. */
export function isArgmax(settings: SamplingSettings): boolean {
  const { temperature, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = settings;
  return (
    temperature === 0 &&
    repetitionPenalty === 1 &&
    presencePenalty === 0 &&
    frequencyPenalty === 0 &&
    Object.keys(logitBias).length === 0
  );
}

/** The same with the probabilities that were there before temperature and truncation: those of temperature 1. */
export function untempered(settings: SamplingSettings): SamplingSettings {
  return { ...settings, temperature: 1, topK: 0, topP: 1, minP: 0 };
}

/** Logits f32 [V] after `history` (all tokens before, prompt included) to the law of the next token. */
export type Processor = (logits: Float32Array, history: readonly number[]) => Law;

/** Options of a processor. */
export interface ProcessorOptions {
  /** Whether a law may be one of nothing. */
  readonly orNothing?: boolean;
  /** An array of so many numbers for a law, which nobody reads any more; by default a new one. */
  readonly place?: ((length: number) => Float64Array) | undefined;
}

/**
 * The processor of `settings`; tokens of a history from `promptLength` on count as generated. It throws an OptionError
 * for NaN or infinite logits, for a vocabulary that lacks a biased token, and when every token is forbidden; with `orNothing` the
 * law is then one of nothing.
 */
export function createProcessor(
  settings: SamplingSettings,
  promptLength: number,
  { orNothing = false, place = (length) => new Float64Array(length) }: ProcessorOptions = {},
): Processor {
  const bias = Object.entries(settings.logitBias).map(([id, value]) => [Number(id), value]);
  const { repetitionPenalty, presencePenalty, frequencyPenalty, temperature } = settings;
  const counted = presencePenalty !== 0 || frequencyPenalty !== 0;
  const changed = repetitionPenalty !== 1 || counted || bias.length > 0;
  return (logits, history) => {
    const scores = place(logits.length); // [V]
    scores.set(logits);
    let best = bestOf(scores);
    if (repetitionPenalty !== 1) penaliseRepetition(scores, history, repetitionPenalty);
    if (counted) penaliseCounts(scores, history.slice(promptLength), settings);
    for (const [token, value] of bias) scores[known(token, scores, 'logitBias')] += value;
    if (changed) best = argmax(scores);
    if (scores[best] === Number.NEGATIVE_INFINITY && orNothing) return NOTHING;
    if (scores[best] === Number.NEGATIVE_INFINITY)
      throw new OptionError('sampling: expected at least one allowed token, got none');
    if (temperature === 0) return { point: best, scores };
    return { probs: truncatedSoftmax(scores, scores[best], settings) };
  };
}

/** exp((score - max) / temperature) in place, cut and normalised; subtracting first keeps tiny temperatures finite. */
function truncatedSoftmax(scores: Float64Array, max: number, settings: SamplingSettings) {
  const { temperature, topK, topP, minP } = settings;
  for (let token = 0; token < scores.length; token++)
    scores[token] = (scores[token] - max) / temperature;
  if (topK > 0 && topK < scores.length) keepLargest(scores, topK);
  let total = 0;
  for (let token = 0; token < scores.length; token++) {
    scores[token] = Math.exp(scores[token]);
    total += scores[token];
  }
  if (topP < 1) keepMass(scores, topP * total);
  // Weights are relative to the largest here, which is 1.
  if (minP > 0)
    for (let token = 0; token < scores.length; token++) if (scores[token] < minP) scores[token] = 0;
  if (topP < 1 || minP > 0) total = sumOf(scores);
  for (let token = 0; token < scores.length; token++) scores[token] /= total;
  return scores;
}

function keepLargest(scores: Float64Array, count: number): void {
  const rising = upper(scores, SHARES.map(Math.log), (found) => found.count >= count);
  const smallest = rising[rising.length - count];
  for (let token = 0; token < scores.length; token++)
    if (scores[token] < smallest) scores[token] = Number.NEGATIVE_INFINITY;
}

/** A token stays if the mass of the tokens before it, in falling order, is below `wanted`; so at least one does. */
function keepMass(weights: Float64Array, wanted: number): void {
  // Sums in another order differ in their last digits.
  const surely = wanted * (1 + 1e-9);
  const rising = upper(weights, SHARES, ({ sum }) => sum >= surely);
  let mass = 0;
  let rank = rising.length;
  while (rank > 0 && mass < wanted) mass += rising[--rank];
  const smallest = rising[rank];
  // Of the tokens that equal the smallest kept one, as many stay as were counted.
  let equals = 0;
  while (rank + equals < rising.length && rising[rank + equals] === smallest) equals++;
  for (let token = 0; token < weights.length; token++) {
    if (weights[token] > smallest) continue;
    if (weights[token] === smallest && equals > 0) equals--;
    else weights[token] = 0;
  }
}

/** Shares of the largest weight that are tried one after the other. */
const SHARES = [0.1, 0.01, 1e-3, 1e-5, 1e-8, 1e-16];

/**
 * The upper values in rising order: those from a bound on, the first of falling `bounds` from which they are enough, or all.
 * Sorting a whole vocabulary takes three to ten times as long.
 */
function upper(
  values: Float64Array,
  bounds: readonly number[],
  isEnough: (found: { readonly count: number; readonly sum: number }) => boolean,
): Float64Array {
  for (const bound of bounds) {
    const amount = amountFrom(values, bound);
    if (!isEnough(amount)) continue;
    const found = new Float64Array(amount.count);
    for (let index = 0, at = 0; at < found.length; index++)
      if (values[index] >= bound) found[at++] = values[index];
    return found.sort();
  }
  return values.slice().sort();
}

/** How many values there are from a bound on, and their sum. */
function amountFrom(values: Float64Array, bound: number) {
  let count = 0;
  let sum = 0;
  for (let index = 0; index < values.length; index++)
    if (values[index] >= bound) {
      count++;
      sum += values[index];
    }
  return { count, sum };
}

/** Once per token, however often it occurs. Keskar et al., "CTRL", 2019, section 4.1. */
function penaliseRepetition(
  scores: Float64Array,
  history: readonly number[],
  penalty: number,
): void {
  for (const token of new Set(history)) {
    const score = scores[known(token, scores, 'history')];
    scores[token] = score < 0 ? score * penalty : score / penalty;
  }
}

function penaliseCounts(
  scores: Float64Array,
  generated: readonly number[],
  { presencePenalty, frequencyPenalty }: SamplingSettings,
): void {
  for (const token of generated) scores[known(token, scores, 'history')] -= frequencyPenalty;
  for (const token of new Set(generated)) scores[token] -= presencePenalty;
}

/** The lowest index of the largest. -Infinity is a forbidden token; NaN and Infinity are a fault upstream. */
function bestOf(scores: Float64Array): number {
  let best = 0;
  let most = Number.NEGATIVE_INFINITY;
  for (let token = 0; token < scores.length; token++) {
    const score = scores[token];
    if (!(score < Number.POSITIVE_INFINITY))
      throw new OptionError(
        `sampling: expected finite logits or -Infinity, got ${score} for token ${token}`,
      );
    if (score > most) {
      most = score;
      best = token;
    }
  }
  return best;
}

function known(token: number, scores: Float64Array, where: string): number {
  if (!(token >= 0 && token < scores.length))
    throw new OptionError(
      `sampling: ${where}: expected token ids below ${scores.length}, got ${token}`,
    );
  return token;
}

function sumOf(values: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += values[index];
  return sum;
}
