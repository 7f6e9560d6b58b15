// What is left of laws after a rejection: of the target's, what it is still owed; of the drafter's, what the next sibling was drawn from.
import type { Law } from '../law.ts';
import { massOf, NOTHING } from '../sample.ts';

/**
 * (weight p - q)+, normalised, and its mass before that. Where nothing is left the law stays p: rejecting from equal laws is
 * impossible, but rounding can leave nothing where they differ by the last bit, which costs an error of that size and never emits a
 * token that p excludes.
 */
export function residual(
  owed: Law,
  drawnFrom: Law,
  weight = 1,
): { readonly law: Law; readonly mass: number } {
  if ('point' in owed) {
    const mass = Math.max(0, weight - massOf(drawnFrom, owed.point));
    return { law: owed, mass };
  }
  const probs = new Float64Array(owed.probs.length);
  let mass = 0;
  for (let token = 0; token < probs.length; token++) {
    probs[token] = Math.max(0, weight * owed.probs[token] - massOf(drawnFrom, token));
    mass += probs[token];
  }
  if (!(mass > 0)) return { law: owed, mass: 0 };
  for (let token = 0; token < probs.length; token++) probs[token] /= mass;
  return { law: { probs }, mass };
}

/** The law after `token` was taken out; without any mass if nothing is left. */
export function without(law: Law, token: number): Law {
  if ('point' in law) return law.point === token ? NOTHING : law;
  const probs = law.probs.slice();
  probs[token] = 0;
  let total = 0;
  for (let each = 0; each < probs.length; each++) total += probs[each];
  if (total > 0) for (let each = 0; each < probs.length; each++) probs[each] /= total;
  return { probs };
}
