// Greedy decoding that also takes a draft which is nearly the target's own token: the proposal method `greedy` of speculators with
// `verifier_accept_k` and `accept_tolerance`.
import { OptionError } from '../../kernels/errors.ts';
import { likeliest, massOf, mostProbable } from '../sample.ts';
import type { Verifier } from '../verifier.ts';
import { greedy } from './greedy.ts';
import { walk } from './walk.ts';

/**
 * Accepts a draft among the `k` most probable tokens of the target whose ln p is at most `tolerance` below that of the best, and
 * where there is none emits the best. Lossy, but for k 1 or tolerance 0. Throws an OptionError for wrong values.
 */
export function tolerant(k: number, tolerance: number): Verifier {
  if (!Number.isInteger(k) || k < 1)
    throw new OptionError(`tolerant: k: expected a whole number from 1, got ${k}`);
  if (!(tolerance >= 0))
    throw new OptionError(`tolerant: tolerance: expected a number from 0, got ${tolerance}`);
  return {
    name: 'tolerant',
    guarantee: k === 1 || tolerance === 0 ? greedy.guarantee : 'lossy',
    atZeroOnly: 'probabilities',
    draw: greedy.draw,
    verify({ draft, ...input }) {
      return walk({ draft, ...input }, (target, _position, children) => {
        const best = likeliest(target);
        const least = Math.log(massOf(target, best)) - tolerance;
        const near = (token: number) =>
          token === best || (tolerance > 0 && Math.log(massOf(target, token)) >= least);
        const candidates = mostProbable(target, k);
        const accepted = children.find((node) => {
          const { token } = draft.tokens[node];
          return near(token) && candidates.includes(token);
        });
        return accepted === undefined ? { next: best } : { accepted };
      });
    },
  };
}
