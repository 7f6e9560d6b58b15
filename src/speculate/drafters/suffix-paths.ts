// What the counts expect after a place: the one path of the most frequent next tokens, or the tree of the most probable
// paths. The probability of a path is the product of count / count of the parent along it.
import { nextOf, type Place, shareOf } from './continuations.ts';

/** Tokens that may come after a place. */
export interface Continuation {
  readonly tokens: readonly number[];
  /** The token before each, -1 for the place; absent for a chain. */
  readonly parents?: readonly number[];
  /** Sum of the path probabilities of the tokens: how many of them are expected to come. */
  readonly score: number;
}

/** What a tree may have. */
export interface TreeLimits {
  readonly nodes: number;
  readonly levels: number;
  /** Path probability of a node. */
  readonly least: number;
}

/**
 * The walk from a place to the most frequent next token, and so on: `length` tokens, at most to the depth of the trie, or fewer
 * where its probability would fall below `least`.
 */
export function follow(from: Place, length: number, least: number): Continuation {
  const tokens: number[] = [];
  let place = from;
  let probability = 1;
  let score = 0;
  while (tokens.length < length) {
    const next = nextOf(place, 0);
    if (next === null) break;
    probability *= shareOf(next.place, place);
    if (probability < least) break;
    tokens.push(next.token);
    score += probability;
    place = next.place;
  }
  return { tokens, score };
}

/** What children grow at: the place itself, or a node of the tree. */
interface Parent {
  /** In the draft; -1 for the place itself. */
  readonly index: number;
  readonly place: Place;
  readonly probability: number;
  readonly depth: number;
}

/** What may be the next node. */
interface Candidate extends Omit<Parent, 'index'> {
  readonly token: number;
  readonly parent: Parent;
  /** Among its siblings. */
  readonly rank: number;
}

/**
 * The tree that always grew by the most probable node: of equals the shallower, then the smaller token, then the child of the older
 * node. A path is never more probable than its beginning, so these are the most probable nodes of all. A sibling waits until the one
 * before it has been taken, so that n nodes take 2n looks at children, and n^2 comparisons at most.
 */
export function grow(from: Place, { nodes, levels, least }: TreeLimits): Continuation {
  const tokens: number[] = [];
  const parents: number[] = [];
  let score = 0;
  /** The one to take next is the last. */
  const waiting: Candidate[] = [];
  const offer = (parent: Parent, rank: number) => {
    const next = parent.depth < levels ? nextOf(parent.place, rank) : null;
    if (next === null) return;
    const { token, place } = next;
    const probability = parent.probability * shareOf(place, parent.place);
    if (probability < least) return;
    const candidate = { token, place, probability, depth: parent.depth + 1, parent, rank };
    let at = waiting.length;
    while (at > 0 && precedes(waiting[at - 1], candidate)) at--;
    waiting.splice(at, 0, candidate);
  };
  offer({ index: -1, place: from, probability: 1, depth: 0 }, 0);
  while (tokens.length < nodes) {
    const best = waiting.pop();
    if (best === undefined) break;
    const { token, place, probability, depth, parent, rank } = best;
    const node = { index: tokens.length, place, probability, depth };
    tokens.push(token);
    parents.push(parent.index);
    score += probability;
    offer(parent, rank + 1);
    offer(node, 0);
  }
  return { tokens, parents, score };
}

function precedes(one: Candidate, other: Candidate): boolean {
  const difference =
    other.probability - one.probability ||
    one.depth - other.depth ||
    one.token - other.token ||
    one.parent.index - other.parent.index;
  return difference < 0;
}
