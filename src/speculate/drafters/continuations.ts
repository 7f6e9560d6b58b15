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
  /** The most frequent children in order, as many as were asked for; null when they have to be looked for. */
  ranked: Node[] | null;
  /** Its only occurrence, while it has occurred once. */
  occurrence: Occurrence | null;
}

/** A string that occurs: `ahead` tokens after `node`, along its only occurrence. */
export interface Place {
  readonly node: Node;
  readonly ahead: number;
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
  const root: Node = { token: -1, count: 0, children: new Map(), ranked: null, occurrence: null };
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
      if (parent.ranked !== null) promote(parent.ranked, node);
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
          if (node.ranked?.includes(child)) node.ranked = null;
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
 * The place after the next token that is the `rank`-th most frequent one, of equals the smaller first. Children are looked at
 * one by one only when more of them are asked for than ever before, twice as many each time, or after one was taken back.
 */
export function nextOf(
  place: Place,
  rank: number,
): { readonly token: number; readonly place: Place } | null {
  const { node, ahead } = place;
  if (node.children === null) {
    const token = rank === 0 ? following(node, ahead) : undefined;
    return token === undefined ? null : { token, place: { node, ahead: ahead + 1 } };
  }
  const known = node.ranked?.length ?? 0;
  if (known <= rank && known < node.children.size)
    node.ranked = mostFrequent(node.children, Math.max(1, 2 * rank));
  const child = node.ranked?.[rank];
  return child === undefined ? null : { token: child.token, place: { node: child, ahead: 0 } };
}

/** How probable a place is after one before it: how often it comes of all the times that the other does. */
export const shareOf = (place: Place, before: Place): number =>
  place.node === before.node ? 1 : place.node.count / before.node.count;

function leaf(text: readonly number[], end: number): Node {
  const token = text[end - 1];
  return { token, count: 1, children: null, ranked: null, occurrence: { text, end } };
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

function mostFrequent(children: ReadonlyMap<number, Node>, count: number): Node[] {
  const ranked: Node[] = [];
  for (const child of children.values()) {
    if (ranked.length < count) ranked.push(child);
    else if (beats(child, ranked[count - 1])) ranked[count - 1] = child;
    else continue;
    settle(ranked, ranked.length - 1);
  }
  return ranked;
}

/** The count of a child has grown: it may have become one of the first. */
function promote(ranked: Node[], child: Node): void {
  const at = ranked.indexOf(child);
  const last = ranked.length - 1;
  if (at >= 0) settle(ranked, at);
  else if (beats(child, ranked[last])) {
    ranked[last] = child;
    settle(ranked, last);
  }
}

/** Moves a node forward to its place among those before it, which are in order. */
function settle(ranked: Node[], from: number): void {
  const node = ranked[from];
  let at = from;
  for (; at > 0 && beats(node, ranked[at - 1]); at--) ranked[at] = ranked[at - 1];
  ranked[at] = node;
}

function beats(one: Node, other: Node): boolean {
  return one.count > other.count || (one.count === other.count && one.token < other.token);
}
