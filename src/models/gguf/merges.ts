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
  const order = Array.from(tokens, (_, index) => index).filter(isNormal);
  order.sort((a, b) => scores[b] - scores[a]);
  // Most cuts are none: a large vocabulary has hundreds of thousands, of which nothing else is made.
  const merges: [string, string][] = [];
  for (const index of order) {
    const token = tokens[index];
    for (let cut = 1; cut < token.length; cut++) {
      if (isInside(token, cut)) continue;
      const left = token.slice(0, cut);
      if (!known.has(left)) continue;
      const right = token.slice(cut);
      if (known.has(right)) merges.push([left, right]);
    }
  }
  return merges;
}

/** Whether a cut would part the two halves of one character. */
function isInside(text: string, cut: number): boolean {
  const isHalf = (at: number, from: number) => (text.charCodeAt(at) & 0xfc00) === from;
  return isHalf(cut - 1, 0xd800) && isHalf(cut, 0xdc00);
}
