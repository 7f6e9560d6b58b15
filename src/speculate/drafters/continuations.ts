// How often every short string of some texts occurs, and what follows it: a trie of all substrings up to a depth, with
// counts. A string that has occurred once needs no children, the text says what follows; it gets them when it occurs
// again, so repetition is what costs memory: a few nodes per token, at most `depth`.

interface Occurrence {
  readonly text: readonly number[];
  readonly end: number;
}

/** A string that occurs, and where it leads. */
interface Node {
  /** Its last token. */
  readonly token: number;
  count: number;
  /** By next token; null while it has occurred once, and at the depth of the trie. */
  children: Map<number, Node> | null;
  /** The most frequent child, the smallest token of equals; null when it has to be looked for. */
  best: Node | null;
  /** Its only occurrence, while it has occurred once. */
  occurrence: Occurrence | null;
}

/** A string that occurs: `ahead` tokens after `node`, along its only occurrence. */
export interface Place {
  readonly node: Node;
  readonly ahead: number;
}

/** The most frequent way on from a place. */
export interface Continuation {
  readonly tokens: readonly number[];
  /** Sum of the probabilities of its prefixes: the tokens of it that are expected to come. */
  readonly score: number;
}

/** The counts of some texts. */
export interface Continuations {
  /**
   * Counts the strings of `text` that end after `from`. Texts are added one after the other: a new one from 0, then the same
   * array, grown, from where it ended. Time per token is that of `depth` look-ups.
   */
  add(text: readonly number[], from: number): void;
  /** Takes a whole text back, which must have been added and may not grow any more. */
  remove(text: readonly number[]): void;
  /** Where the string of the tokens from `from` on is, which are at most `depth`. */
  find(tokens: readonly number[], from: number): Place | null;
}

/** An empty trie of strings of up to `depth` tokens. */
export function createContinuations(depth: number): Continuations {
  const root: Node = { token: -1, count: 0, children: new Map(), best: null, occurrence: null };
  /** The nodes of the last l tokens of the growing text, by l; none where a shorter one has no children. */
  let ends: (Node | undefined)[] = [];

  /** Counts the strings that end at `end`, each as a child of one that ended before. */
  const push = (text: readonly number[], end: number) => {
    const token = text[end - 1];
    const next: (Node | undefined)[] = [root];
    // Long ones first: a string that gets a child in this turn is not looked at again, where that child may end here, too.
    for (let length = Math.min(depth, end); length > 0; length--) {
      const parent = ends[length - 1];
      if (parent === undefined || parent.children === null) continue;
      let node = parent.children.get(token);
      if (node === undefined) {
        node = leaf(text, end);
        parent.children.set(token, node);
      } else {
        node.count += 1;
        const { occurrence } = node;
        node.occurrence = null;
        if (occurrence !== null && length < depth) giveChild(node, occurrence);
      }
      if (parent.best !== null && beats(node, parent.best)) parent.best = node;
      next[length] = node;
    }
    ends = next;
  };

  return {
    add(text, from) {
      if (from === 0) ends = [root];
      for (let end = from + 1; end <= text.length; end++) push(text, end);
    },
    remove(text) {
      for (let start = 0; start < text.length; start++) {
        let node = root;
        const end = Math.min(text.length, start + depth);
        for (let at = start; at < end && node.children !== null; at++) {
          const child = node.children.get(text[at])!;
          child.count -= 1;
          if (node.best === child) node.best = null;
          if (child.count === 0) node.children.delete(child.token);
          node = child;
        }
      }
    },
    find(tokens, from) {
      let place: Place | null = { node: root, ahead: 0 };
      for (let at = from; at < tokens.length && place !== null; at++)
        place = step(place, tokens[at]);
      return place;
    },
  };
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
    const { node, ahead } = place;
    const token = node.children === null ? following(node, ahead) : bestOf(node)?.token;
    if (token === undefined) break;
    place = step(place, token)!;
    if (place.node !== node) probability *= place.node.count / node.count;
    if (probability < least) break;
    tokens.push(token);
    score += probability;
  }
  return { tokens, score };
}

function leaf(text: readonly number[], end: number): Node {
  const token = text[end - 1];
  return { token, count: 1, children: null, best: null, occurrence: { text, end } };
}

/** What followed the first occurrence of a node that occurs again, if that was not the end of a text. */
function giveChild(node: Node, { text, end }: Occurrence): void {
  node.children = new Map();
  if (end < text.length) node.children.set(text[end], leaf(text, end + 1));
}

/** The token that comes `ahead` tokens after the only occurrence of a node. */
function following({ occurrence }: Node, ahead: number): number | undefined {
  return occurrence?.text[occurrence.end + ahead];
}

function step({ node, ahead }: Place, token: number): Place | null {
  if (node.children === null)
    return following(node, ahead) === token ? { node, ahead: ahead + 1 } : null;
  const child = node.children.get(token);
  return child === undefined ? null : { node: child, ahead: 0 };
}

/** Looks at every child only where none is known: the first time, and after one was taken back. */
function bestOf(node: Node): Node | null {
  if (node.best === null)
    for (const child of node.children!.values())
      if (node.best === null || beats(child, node.best)) node.best = child;
  return node.best;
}

function beats(one: Node, other: Node): boolean {
  return one.count > other.count || (one.count === other.count && one.token < other.token);
}
