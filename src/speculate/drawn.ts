// The only makers of `Drawn`. Whoever draws a token states its law here, so that a verifier can trust it.
import type { Drawn } from './drafter.ts';
import type { Law } from './law.ts';
import { mostProbable, point } from './sample.ts';

/** A token that was found, not sampled: lookups, argmax, races with shared noise. */
export function pointDraw(token: number): Drawn {
  return { token, law: point(token) } as Drawn;
}

/** A token sampled from `law`; siblings sampled in order without replacement pass the same law object. */
export function lawDraw(token: number, law: Law): Drawn {
  return { token, law } as Drawn;
}

/** The most probable tokens of a law, best first, as points. */
export function rankedDraws(law: Law, count: number): readonly Drawn[] {
  return mostProbable(law, count).map(pointDraw);
}
