// Suffix decoding by its definition: counts by looking at every place of every text, trees by looking at every token.
import type { DraftRequest } from '../../src/speculate/drafter.ts';
import type { SuffixOptions } from '../../src/speculate/drafters/suffix.ts';

export type Text = readonly number[];

interface Node {
  readonly token: number;
  readonly parent: number;
}

/** Drafted tokens and how many of them are expected to come. */
interface Scored {
  readonly nodes: readonly Node[];
  readonly score: number;
}

/** Where a string ends in texts. */
const endsOf = (texts: readonly Text[], string: Text) =>
  texts.flatMap((text) =>
    [...text.keys(), text.length]
      .filter((end) => end >= string.length)
      .filter((end) => string.every((token, at) => text[end - string.length + at] === token))
      .map((end) => ({ text, end })),
  );

/** What follows a string and how often, the most frequent first, of equals the smaller. */
export function followersOf(texts: readonly Text[], string: Text) {
  const counts = new Map<number, number>();
  for (const { text, end } of endsOf(texts, string))
    if (end < text.length) counts.set(text[end], (counts.get(text[end]) ?? 0) + 1);
  return [...counts]
    .map(([token, count]) => ({ token, count }))
    .sort((a, b) => b.count - a.count || a.token - b.token);
}

/** The most frequent path after a string. */
function pathAfter(texts: readonly Text[], match: Text, length: number, least: number): Scored {
  const nodes: Node[] = [];
  let string = match;
  let probability = 1;
  let score = 0;
  while (nodes.length < length) {
    const [best] = followersOf(texts, string);
    if (best === undefined) break;
    probability *= best.count / endsOf(texts, string).length;
    if (probability < least) break;
    string = [...string, best.token];
    nodes.push({ token: best.token, parent: nodes.length - 1 });
    score += probability;
  }
  return { nodes, score };
}

/** The tree that a string is followed by, of all tokens that could be added the best one at a time. */
function treeAfter(
  texts: readonly Text[],
  match: Text,
  {
    size,
    levels,
    least,
  }: { readonly size: number; readonly levels: number; readonly least: number },
): Scored {
  const candidatesAfter = (string: Text, parent: number, probability: number) =>
    string.length - match.length >= levels
      ? []
      : followersOf(texts, string).map(({ token, count }) => ({
          token,
          parent,
          string: [...string, token],
          probability: probability * (count / endsOf(texts, string).length),
        }));
  const candidates = candidatesAfter(match, -1, 1);
  const nodes: Node[] = [];
  let score = 0;
  while (nodes.length < size) {
    candidates.sort(
      (a, b) =>
        b.probability - a.probability ||
        a.string.length - b.string.length ||
        a.token - b.token ||
        a.parent - b.parent,
    );
    const best = candidates.shift();
    if (best === undefined || best.probability < least) break;
    candidates.push(...candidatesAfter(best.string, nodes.length, best.probability));
    nodes.push({ token: best.token, parent: best.parent });
    score += best.probability;
  }
  return { nodes, score };
}

/** The draft after `own` with the texts that came before it. */
export function draftAfter(
  own: Text,
  earlier: readonly Text[],
  options: SuffixOptions,
  limits: Pick<DraftRequest, 'maxTokens' | 'maxDepth'>,
): readonly Node[] {
  const { maxDepth = 24, factor = 1, offset = 0, minProbability: least = 0.1 } = options;
  let chosen: Scored = { nodes: [], score: 0 };
  for (const texts of [[own], earlier]) {
    let best: Scored = { nodes: [], score: 0 };
    for (let length = 1; length < Math.min(maxDepth, own.length + 1); length++) {
      const match = own.slice(-length);
      if (endsOf(texts, match).length === 0) break;
      const size = Math.min(limits.maxTokens, Math.floor(length * factor + offset));
      const levels = Math.min(limits.maxDepth, maxDepth - length);
      const found = options.tree
        ? treeAfter(texts, match, { size, levels, least })
        : pathAfter(texts, match, Math.min(size, levels), least);
      if (found.score >= best.score) best = found;
    }
    if (best.score > chosen.score) chosen = best;
  }
  return chosen.nodes;
}

/** The latest texts of so many tokens together; one that is longer is none. */
export function keptOf(texts: readonly Text[], limit: number): Text[] {
  const kept: Text[] = [];
  for (const text of texts) {
    if (text.length > limit) continue;
    kept.push(text);
    while (kept.flat().length > limit) kept.shift();
  }
  return kept;
}
