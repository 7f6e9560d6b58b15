// Traversal: a path is judged as a whole, from its leaf up, so that what one token is short of another can make up for.
// Weng et al., "Traversal verification for speculative tree decoding", 2025. On a chain it is block verification: Sun et al., "Block
// verification accelerates speculative decoding", 2024, which of all rules that know the path alone accepts most.
// The draft's length and shape are decided before any of it is judged, and every node is drawn and judged with numbers of its own.
import type { Law } from '../law.ts';
import { massOf } from '../sample.ts';
import type { Verdict, Verifier, VerifyInput } from '../verifier.ts';
import { residual, without } from './owed.ts';
import { rejection } from './rejection.ts';
import { childrenOf } from './walk.ts';

/** Same law as the target's, with at least as many accepted tokens as `rejection`; asks for the laws of the whole draft. */
export const traversal: Verifier = {
  name: 'traversal',
  guarantee: 'same law',
  draw: rejection.draw,
  verify: judgeFromLeaves,
};

/** Block verification; trees are traversed. */
export const block: Verifier = { ...traversal, name: 'block' };

/** A node on the way down. */
interface Place {
  /** -1 is the committed text. */
  readonly node: number;
  /** Probability of accepting the path to here, now that so many of its children are gone. */
  weight: number;
  /** What the target is owed after it. */
  owed: Law;
  /** Children that are gone. */
  judged: number;
  /** What the next child of a law was drawn from. */
  readonly left: Map<Law, Law>;
}

/**
 * w(child) = min(1, w p(x) / q(x)), taken when the child is first reached. A leaf is accepted with its weight; otherwise it is
 * gone, and its parent is left with w' = R / (R + 1 - w) of R = sum (w p - q)+ and owes p' = (w p - q)+ / R.
 */
function judgeFromLeaves({ draft, law, position, noise }: VerifyInput): Verdict {
  const children = childrenOf(draft);
  const placeOf = (node: number, weight: number): Place => ({
    node,
    weight,
    owed: law(node + 1),
    judged: 0,
    left: new Map(),
  });
  const way = [placeOf(-1, 1)];
  for (;;) {
    const place = way[way.length - 1];
    const { node } = place;
    const child = children[node + 1][place.judged];
    if (child !== undefined) {
      const { token, law: drawn } = draft.tokens[child];
      const mass = massOf(place.left.get(drawn) ?? drawn, token);
      const weight = mass > 0 ? Math.min(1, (place.weight * massOf(place.owed, token)) / mass) : 0;
      if (weight > 0) way.push(placeOf(child, weight));
      // A second copy of one draw is no draw: it neither offers nor costs the target anything.
      else if (mass > 0) reject(place, token, drawn);
      else place.judged += 1;
      continue;
    }
    const depth = way.length - 1;
    if (node < 0 || noise.coin('accept', position + depth - 1, node, place.weight))
      return {
        path: way.slice(1).map((each) => each.node),
        next: noise.pick('recover', position + depth, place.owed),
        kind: children[node + 1].length > 0 ? 'recovered' : 'bonus',
      };
    way.pop();
    const { token, law: drawn } = draft.tokens[node];
    reject(way[way.length - 1], token, drawn);
  }
}

/** What is left of a node when a child with `token`, drawn from `drawn`, is gone. */
function reject(place: Place, token: number, drawn: Law): void {
  const { weight, owed, left } = place;
  const drawnFrom = left.get(drawn) ?? drawn;
  const rest = residual(owed, drawnFrom, weight);
  place.owed = rest.law;
  // The text itself is always accepted.
  place.weight = weight < 1 ? rest.mass / (rest.mass + 1 - weight) : 1;
  place.judged += 1;
  left.set(drawn, without(drawnFrom, token));
}
