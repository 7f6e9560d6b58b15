// Choosing tokens from laws. Chance enters as a number, and ties go to the lowest index.
// A race gives token x the time -ln(u_x) / p_x: the first to arrive is a draw from p, and the order of arrival is one
// without replacement (the Gumbel trick in other words: Gumbel, 1954; Vieira, 2014; Kool et al., 2019).
import type { Law, PointLaw, ProbsLaw } from './law.ts';

/** The law with all mass on `token`. */
export function point(token: number): PointLaw {
  return { point: token };
}

/** The law without any mass. */
export const NOTHING: ProbsLaw = { probs: new Float64Array(0) };

/** Whether a law is the one without any mass. */
export const isNothing = (law: Law): boolean => 'probs' in law && law.probs.length === 0;

/** The probability of `token` under `law`; 0 outside its vocabulary. */
export function massOf(law: Law, token: number): number {
  if ('point' in law) return law.point === token ? 1 : 0;
  return law.probs[token] ?? 0;
}

/** The index of the largest of `values` ([V], at least one), the lowest of equals. NaN is never the largest. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let index = 1; index < values.length; index++)
    if (values[index] > values[best] || Number.isNaN(values[best])) best = index;
  return best;
}

/** The most probable token of a law. */
export function likeliest(law: Law): number {
  return 'point' in law ? law.point : argmax(law.probs);
}

/**
 * Inverse of the cumulative distribution: the lowest index whose running sum exceeds coin * total. `probs` ([V], f64)
 * need not be normalised; a token without mass is never returned. Throws a RangeError if nothing has mass.
 */
export function pick(probs: ArrayLike<number>, coin: number): number {
  let total = 0;
  let last = -1;
  for (let token = 0; token < probs.length; token++) {
    if (probs[token] > 0) last = token;
    total += probs[token];
  }
  if (last < 0 || !Number.isFinite(total))
    throw new RangeError(`pick: expected a positive, finite total, got ${total}`);
  const threshold = coin * total;
  let sum = 0;
  for (let token = 0; token < last; token++) {
    sum += probs[token];
    if (sum > threshold) return token;
  }
  // Reached only for the last token with mass, also when rounding made coin * total equal to the sum.
  return last;
}

/**
 * The `count` tokens that arrive first in the race of `law`, in order; fewer if fewer have mass, a RangeError if none
 * has. `uniform(token)` is a number in (0, 1), asked only for tokens with mass.
 */
export function race(law: Law, uniform: (token: number) => number, count = 1): number[] {
  if ('point' in law) return count > 0 ? [law.point] : [];
  const { probs } = law;
  const tokens: number[] = [];
  const times: number[] = [];
  let latest = Number.POSITIVE_INFINITY;
  for (let token = 0; token < probs.length; token++) {
    if (!(probs[token] > 0)) continue;
    const u = uniform(token);
    // -ln(u) is at least 1 - u, but for its last digits: most tokens are too late without a logarithm.
    if ((1 - u) / probs[token] > latest) continue;
    insert(tokens, times, count, token, -Math.log(u) / probs[token]);
    if (tokens.length === count) latest = times[count - 1] * (1 + 1e-12);
  }
  if (tokens.length === 0 && count > 0)
    throw new RangeError('race: expected a token with mass, got none');
  return tokens;
}

/** The `count` most probable tokens of `law`, best first; fewer if fewer have mass. Of a point, the next ones by its scores. */
export function mostProbable(law: Law, count: number): number[] {
  const isPoint = 'point' in law;
  if (isPoint && (count <= 1 || law.scores === undefined)) return count > 0 ? [law.point] : [];
  const values = isPoint ? law.scores! : law.probs;
  const least = isPoint ? Number.NEGATIVE_INFINITY : 0;
  const tokens: number[] = [];
  const keys: number[] = [];
  for (let token = 0; token < values.length; token++)
    if (values[token] > least) insert(tokens, keys, count, token, -values[token]);
  return tokens;
}

/** ln softmax(logits)[token] in float64, for f32 logits [V] of any size. */
export function logSoftmaxAt(logits: Float32Array, token: number): number {
  return logSoftmaxOf(logits, [token])[0];
}

/** The same of several tokens, for one sum over the vocabulary. */
export function logSoftmaxOf(logits: Float32Array, tokens: readonly number[]): number[] {
  let max = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < logits.length; index++) if (logits[index] > max) max = logits[index];
  let sum = 0;
  for (let index = 0; index < logits.length; index++) sum += Math.exp(logits[index] - max);
  const total = Math.log(sum);
  return tokens.map((token) => logits[token] - max - total);
}

/** Keeps the `count` smallest keys in ascending order; tokens come in rising order, so the lower of equals stays. */
function insert(tokens: number[], keys: number[], count: number, token: number, key: number): void {
  if (tokens.length >= count && !(key < keys[count - 1])) return;
  let at = Math.min(tokens.length, count - 1);
  for (; at > 0 && keys[at - 1] > key; at--) {
    tokens[at] = tokens[at - 1];
    keys[at] = keys[at - 1];
  }
  tokens[at] = token;
  keys[at] = key;
}
