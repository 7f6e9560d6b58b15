// Greedy verification: a draft is right where it is the target's most probable token.
// Stern et al., "Blockwise parallel decoding", 2018. Needs no noise, and is only lossless for greedy targets.
import { rankedDraws } from '../drawn.ts';
import { likeliest } from '../sample.ts';
import type { Verifier } from '../verifier.ts';
import { acceptEqual, walk } from './walk.ts';

/** Follows the argmax of the target, and drafts the most probable tokens, best first, ties to the lower index. */
export const greedy: Verifier = {
  name: 'greedy',
  guarantee: 'bit-exact',
  atZeroOnly: 'points',
  draw(law, _position, count) {
    return rankedDraws(law, count);
  },
  verify(input) {
    return walk(input, (target, _position, children) =>
      acceptEqual(likeliest(target), input.draft, children),
    );
  },
};
