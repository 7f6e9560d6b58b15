// Logits of a vocabulary of its own at the tokens of the target.

/**
 * f32 [vocab]: `logits` at `ids`, the target's token of each. Tokens that are none of them have -Infinity, and a logit without one
 * (-1) is left out, so that the law that is drawn from is the renormalised one of what both have.
 */
export function widened(logits: Float32Array, ids: Int32Array | null, vocab: number): Float32Array {
  if (ids === null) return logits;
  const wide = new Float32Array(vocab).fill(Number.NEGATIVE_INFINITY);
  for (let token = 0; token < logits.length; token++)
    if (ids[token] >= 0) wide[ids[token]] = logits[token];
  return wide;
}
