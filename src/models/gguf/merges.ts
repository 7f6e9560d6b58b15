// The merges of a SentencePiece vocabulary: it always joins the two neighbours that make the token of the highest score,
// so every cut of a token into two tokens is a merge, in descending order of scores. The cuts of one token come with the
// shorter left part first; SentencePiece has no order among them.

/** Pairs of tokens, the first to be merged first; only tokens that `isNormal` are results. */
export function mergesOfScores(
  tokens: readonly string[],
  scores: ArrayLike<number>,
  isNormal: (index: number) => boolean,
): [string, string][] {
  const known = new Set(tokens);
  const merges: { readonly pair: [string, string]; readonly score: number }[] = [];
  for (const [index, token] of tokens.entries()) {
    if (!isNormal(index)) continue;
    // Between characters, never inside of one.
    let length = 0;
    for (const character of token) {
      const pair: [string, string] = [token.slice(0, length), token.slice(length)];
      if (length > 0 && pair.every((part) => known.has(part)))
        merges.push({ pair, score: scores[index] });
      length += character.length;
    }
  }
  return merges.sort((a, b) => b.score - a.score).map(({ pair }) => pair);
}
