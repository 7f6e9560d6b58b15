// The verifiers that keep the target's law, by their names in options.
import type { Verifier } from '../verifier.ts';
import { greedy } from './greedy.ts';
import { match } from './match.ts';
import { rejection } from './rejection.ts';
import { block, traversal } from './traversal.ts';

export const VERIFIERS = { greedy, match, rejection, block, traversal } as const satisfies Readonly<
  Record<string, Verifier>
>;

/** A name in `VERIFIERS`. */
export type VerifierName = keyof typeof VERIFIERS;

/** All of them, the defaults first. */
export const VERIFIER_NAMES = Object.keys(VERIFIERS) as VerifierName[];
