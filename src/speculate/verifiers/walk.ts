// What every verifier shares: from the committed text down the draft, one node at a time, until no child is accepted.
// A chain is a tree in which every node has one child.
import { OptionError } from '../../kernels/errors.ts';
import type { Draft } from '../drafter.ts';
import type { Law } from '../law.ts';
import type { Verdict, VerifyInput } from '../verifier.ts';

/** What a verifier says at one node: which child is accepted, or which token comes instead. */
export type Judgement = { readonly accepted: number } | { readonly next: number };

/** Judges one node: the target's law there, the position of its children, and the children in draft order. */
export type Judge = (target: Law, position: number, children: readonly number[]) => Judgement;

/** The path of accepted nodes and the token after it; throws an OptionError if a parent does not precede its child. */
export function walk({ draft, law, position }: VerifyInput, judge: Judge): Verdict {
  const children = childrenOf(draft);
  const path: number[] = [];
  for (;;) {
    const row = (path.at(-1) ?? -1) + 1;
    const candidates = children[row];
    const judgement = judge(law(row), position + path.length, candidates);
    if ('next' in judgement)
      return { path, next: judgement.next, kind: candidates.length > 0 ? 'recovered' : 'bonus' };
    path.push(judgement.accepted);
  }
}

/** For verifiers that know the target's token: the first child that is it, else the token itself. */
export function acceptEqual(token: number, draft: Draft, children: readonly number[]): Judgement {
  const accepted = children.find((node) => draft.tokens[node].token === token);
  return accepted === undefined ? { next: token } : { accepted };
}

/** Children in draft order of the committed text (0) and of every node i (1 + i); throws as `walk`. */
export function childrenOf({ tokens, parents }: Draft): readonly (readonly number[])[] {
  if (parents !== undefined && parents.length !== tokens.length)
    throw new OptionError(
      `verify: expected a parent for each of ${tokens.length} nodes, got ${parents.length}`,
    );
  const children: number[][] = Array.from({ length: tokens.length + 1 }, () => []);
  for (let node = 0; node < tokens.length; node++) {
    const parent = parents === undefined ? node - 1 : parents[node];
    if (!Number.isInteger(parent) || parent < -1 || parent >= node)
      throw new OptionError(
        `verify: expected a parent from -1 to ${node - 1} for node ${node}, got ${parent}`,
      );
    children[parent + 1].push(node);
  }
  return children;
}
