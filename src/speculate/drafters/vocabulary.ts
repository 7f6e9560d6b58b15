// A head's own vocabulary and the target's.

/** Logits of the head at the target's tokens; what it cannot draft has -Infinity. */
export function widened(logits: Float32Array, ids: Int32Array | null, vocab: number): Float32Array {
  if (ids === null) return logits;
  const wide = new Float32Array(vocab).fill(Number.NEGATIVE_INFINITY);
  for (let token = 0; token < logits.length; token++) wide[ids[token]] = logits[token];
  return wide;
}
