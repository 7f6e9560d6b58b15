// Exact match with shared noise: the target draws its token as plain decoding does, and a draft is right where it is that
// token. Drafting races the draft law on the same noise, which makes both likely to choose the same winner.
// Daliri, Musco, Suresh, "Coupling without communication and drafter-invariant speculative decoding", 2024.
import { pointDraw, rankedDraws } from '../drawn.ts';
import type { Verifier } from '../verifier.ts';
import { acceptEqual, walk } from './walk.ts';

/**
 * The same tokens for the same seed, whatever is drafted: the drafts decide only how many tokens a round emits. Drawn
 * tokens are stated as points, because the target's token is known when they are judged.
 */
export const match: Verifier = {
  name: 'match',
  guarantee: 'seed-exact',
  draw(law, position, count, noise) {
    if ('point' in law) return rankedDraws(law, count);
    return noise.race('shared', position, law, count).map(pointDraw);
  },
  verify(input) {
    return walk(input, (target, position, children) => {
      const [token] = input.noise.race('shared', position, target, 1);
      return acceptEqual(token, input.draft, children);
    });
  },
};
