// The merges of a SentencePiece vocabulary: it always joins the two neighbours that make the token of the highest score,
// so every cut of a token into two tokens is a merge, in descending order of scores. Of one score, longer left parts come
// first, as in the files that transformers makes.

/** Pairs of tokens, the first to be merged first; only tokens that `isNormal` are results. */
export function mergesOfScores(
  tokens: readonly string[],
  scores: ArrayLike<number>,
  isNormal: (index: number) => boolean,
): [string, string][] {
  const ids = new Map(tokens.map((token, index) => [token, index]));
  const merges: { readonly pair: [string, string]; readonly score: number; readonly at: number }[] =
    [];
  for (const [index, token] of tokens.entries()) {
    if (!isNormal(index)) continue;
    const cuts: [string, string][] = [];
    // Between characters, never inside of one.
    let length = 0;
    for (const character of token) {
      if (length > 0) {
        const pair: [string, string] = [token.slice(0, length), token.slice(length)];
        if (pair.every((part) => ids.has(part))) cuts.push(pair);
      }
      length += character.length;
    }
    cuts.sort(([a, b], [c, d]) => ids.get(a)! - ids.get(c)! || ids.get(b)! - ids.get(d)!);
    for (const pair of cuts) merges.push({ pair, score: scores[index], at: merges.length });
  }
  const characters = (text: string) => [...text].length;
  return merges
    .map((merge) => ({
      ...merge,
      left: characters(merge.pair[0]),
      right: characters(merge.pair[1]),
    }))
    .sort((a, b) => b.score - a.score || b.left - a.left || b.right - a.right || a.at - b.at)
    .map(({ pair }) => pair);
}
