// Typical acceptance: a draft is good enough where the target does not find it improbable for how undecided it is.
// Cai et al., "Medusa: Simple LLM inference acceleration framework with multiple decoding heads", 2024.
import * as z from 'zod';
import { OptionError } from '../../kernels/errors.ts';
import type { Law } from '../law.ts';
import { likeliest, massOf } from '../sample.ts';
import type { Verifier } from '../verifier.ts';
import { rejection } from './rejection.ts';
import { walk } from './walk.ts';

const TypicalSchema = z.strictObject({
  epsilon: z.number().min(0).max(1).default(0.09),
  delta: z.number().min(0).max(1).default(0.3),
});

/**
 * Options of `typical`.
 * - `epsilon`: a token of more probability is always accepted, default 0.09.
 * - `delta`: so is one above delta * exp(-H), H the entropy of the target's law in nats, default 0.3.
 */
export type TypicalOptions = z.input<typeof TypicalSchema>;

/**
 * Accepts the first child x with p(x) > min(epsilon, delta * exp(-H(p))), and where there is none emits the target's most
 * probable token. Lossy: the text leans to what is drafted. Throws an OptionError for wrong options.
 */
export function typical(options: TypicalOptions = {}): Verifier {
  const parsed = TypicalSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`typical: ${z.prettifyError(parsed.error)}`);
  const { epsilon, delta } = parsed.data;
  return {
    name: 'typical',
    guarantee: 'lossy',
    draw: rejection.draw,
    verify(input) {
      const { tokens } = input.draft;
      return walk(input, (target, _position, children) => {
        const threshold = Math.min(epsilon, delta * Math.exp(-entropyOf(target)));
        const accepted = children.find((node) => massOf(target, tokens[node].token) > threshold);
        return accepted === undefined ? { next: likeliest(target) } : { accepted };
      });
    },
  };
}

/** In nats. */
function entropyOf(law: Law): number {
  if ('point' in law) return 0;
  let entropy = 0;
  for (const mass of law.probs) if (mass > 0) entropy -= mass * Math.log(mass);
  return entropy;
}
