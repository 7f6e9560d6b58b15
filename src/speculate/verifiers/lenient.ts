// Rejection that forgives: accept token x, drawn from q, with probability p(x) / (l q(x)), l <= 1. More drafts are accepted and
// the text is no longer the target's: a token may come up to 1 / l times as often as it should.
// Leviathan et al., "Fast inference from transformers via speculative decoding", 2023, appendix on lenience.
import { OptionError } from '../../kernels/errors.ts';
import type { Verifier } from '../verifier.ts';
import { judgeDrawn, rejection } from './rejection.ts';
import { walk } from './walk.ts';

/**
 * Rejection with a lenience from 0 (accepts every draft) to 1 (`rejection`); after a rejected token the target is owed (p - q)+.
 * Lossy below 1. Throws an OptionError for another lenience.
 */
export function lenient(lenience: number): Verifier {
  if (!(lenience >= 0 && lenience <= 1))
    throw new OptionError(`lenient: expected a lenience from 0 to 1, got ${lenience}`);
  return {
    name: 'lenient',
    guarantee: lenience === 1 ? rejection.guarantee : 'lossy',
    draw: rejection.draw,
    verify: (input) =>
      walk(input, (target, position, children) =>
        judgeDrawn(target, position, children, { ...input, lenience }),
      ),
  };
}
